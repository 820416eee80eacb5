package v1alpha1

// The types of a LatencyJob's conditions.
const (
	// ConditionReady is True while slots are measured and once a job has ended as it should.
	ConditionReady = "Ready"
	// ConditionDelivered is True while every sample taken so far is in Sound Check's database or on its way there.
	ConditionDelivered = "Delivered"
	// ConditionComplete is True once the job is over and each of its slots has its outcome in Sound Check's database; its
	// reason is the final phase.
	ConditionComplete = "Complete"
	// ConditionStalled is True only when a person must act; it is absent otherwise.
	ConditionStalled = "Stalled"
)

// The reasons of the Ready condition.
const (
	// ReasonMeasuring: slots are being measured.
	ReasonMeasuring = "Measuring"
	// ReasonFinished: the job is over.
	ReasonFinished = "Finished"
	// ReasonNotStarted: the start lies ahead.
	ReasonNotStarted = "NotStarted"
	// ReasonWaitingForTarget: there is no usable target IP.
	ReasonWaitingForTarget = "WaitingForTarget"
	// ReasonSuspended: spec.suspend is set.
	ReasonSuspended = "Suspended"
	// ReasonSpreeDBUnavailable: SpreeDB cannot be asked, so samples are system errors.
	ReasonSpreeDBUnavailable = "SpreeDBUnavailable"
	// ReasonNotMirrored: the resource was made by hand and no row in Sound Check stands behind it.
	ReasonNotMirrored = "NotMirrored"
)

// The reasons of the Delivered condition.
const (
	// ReasonUpToDate: the samples taken so far are stored, or were taken within the last moments.
	ReasonUpToDate = "UpToDate"
	// ReasonSupabaseUnavailable: Supabase does not answer; samples are kept and tried again.
	ReasonSupabaseUnavailable = "SupabaseUnavailable"
	// ReasonKeyRefused: Supabase refuses the key; samples are kept and tried again.
	ReasonKeyRefused = "KeyRefused"
	// ReasonSchemaNotReady: the database lacks a migration; samples are kept and tried again.
	ReasonSchemaNotReady = "SchemaNotReady"
	// ReasonRowRejected: the database refused samples of this job for what they hold; they are set aside.
	ReasonRowRejected = "RowRejected"
)

// The reasons of the Complete condition while it is False.
const (
	// ReasonNotOver: the job is not over yet.
	ReasonNotOver = "NotOver"
	// ReasonNotSettled: the job is over, and its last outcomes are not in the database yet.
	ReasonNotSettled = "NotSettled"
)

// MirroredLabel marks the LatencyJobs that the sync controller made from a row; its value is MirroredValue.
// A LatencyJob without it was made by hand and is never polled.
const (
	MirroredLabel = "latency.soundcheck.io/mirrored-from"
	MirroredValue = "sound-check"
)

// RowProblemAnnotation carries, in a sentence, what keeps a mirrored row from being measured as it stands.
const RowProblemAnnotation = "latency.soundcheck.io/row-problem"

// RanAtAnnotation carries when the row of a job that is over, in the meantime, was seen to run: it runs again.
const RanAtAnnotation = "latency.soundcheck.io/ran-at"

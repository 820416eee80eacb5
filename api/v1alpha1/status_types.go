package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LatencyJobStatus is what was measured, as of asOf. The samples themselves are in Sound Check's database.
type LatencyJobStatus struct {
	// observedGeneration is the generation of the resource that this status was
	// computed from: while metadata.generation is higher, the operator has not
	// seen the newest spec yet. It is -1 until it has seen any.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase is where the job stands:
	//
	// Pending: its start lies ahead.
	// Waiting: it has no usable target IP yet.
	// Running: its slots are being measured.
	// Suspended: spec.suspend is true.
	// Completing: its time is over, and its last samples are being stored.
	// Completed: it ran to its end. Final.
	// Cancelled: somebody cancelled it in Sound Check. Final.
	// Failed: Sound Check says so, or it never had a usable target IP. Final.
	// +optional
	Phase JobPhase `json:"phase,omitempty"`

	// message says in a sentence why the job is in this phase, and what to do if
	// somebody has to do something. Read it first.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Message string `json:"message,omitempty"`

	// report is what the job came to, once it is over. It is computed when the
	// last sample is stored, from all that Sound Check's database has of the job,
	// whoever measured it. A job that is started anew loses it until it is over
	// again. It is absent where there is nothing to tell: the job has no samples,
	// or more than a million; or the database lacks the operator's migrations, or
	// does not let it read samples.
	// +optional
	Report *JobReport `json:"report,omitempty"`

	// asOf is when this status was written. In a large installation it trails the
	// measuring by some minutes; the samples in Sound Check do not.
	// +optional
	AsOf *metav1.Time `json:"asOf,omitempty"`

	// slots counts the job's slots: the instants at which a poll is due. One that
	// was due has a sample (see samples), or is unmeasured, or is being polled, or
	// is being looked up in Sound Check after a restart.
	// +optional
	Slots SlotCounts `json:"slots,omitzero"`

	// samples counts the slots in which SpreeDB was asked, by what it answered.
	// +optional
	Samples SampleCounts `json:"samples,omitzero"`

	// loss is the share of polls that the device did not answer among those that
	// could be measured: missed / (success + missed), such as 0.28%. Absent while
	// nothing was measured. Read it beside errors and slots.unmeasured: what was
	// not measured is in neither.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Loss string `json:"loss,omitempty"`

	// errors is the share of samples in which SpreeDB could not be asked or
	// understood, which says nothing about the device: systemError / total, such
	// as 0.28%.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Errors string `json:"errors,omitempty"`

	// rtt sums up the round-trip times of the successful samples. Absent without
	// one.
	// +optional
	RTT *RTTSummary `json:"rtt,omitempty"`

	// jitter is the mean difference between two successful round-trip times in a
	// row, such as 1.207ms. Absent while there are not two.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Jitter string `json:"jitter,omitempty"`

	// last is the newest sample. Absent without one.
	// +optional
	Last *LastSample `json:"last,omitempty"`

	// lastError is the newest answer that was not a success. It stays when the
	// device answers again: compare its time with last.
	// +optional
	LastError *LastError `json:"lastError,omitempty"`

	// nextPollTime is when the next poll was due as of asOf, or the first one
	// while the job is Pending. Absent when none will come.
	// +optional
	NextPollTime *metav1.MicroTime `json:"nextPollTime,omitempty"`

	// completionTime is when the job reached a final phase. The LatencyJob is
	// taken away a day later, or when the operator's --keep-finished says; the
	// job and its samples stay in Sound Check.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// checkpoint is the operator's own: what it needs to go on exactly after a
	// restart. Nothing in it is for people; do not rely on it.
	// +optional
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`

	// conditions answer four questions, each with a reason and a sentence:
	//
	// Ready: is the job being measured, or over as it should be?
	// Delivered: is every sample in Sound Check's database or on its way there?
	// Complete: is the job over, and every slot accounted for in the database?
	// Stalled: must a person act? Absent when nobody must.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// SlotCounts counts the slots of a job. A slot that is due is measured (see samples), unmeasured, or being polled.
type SlotCounts struct {
	// total is how many slots the job has from its start to its end: its duration
	// divided by its cadence.
	// +optional
	Total int64 `json:"total"`
	// due is how many of them were due as of asOf.
	// +optional
	Due int64 `json:"due"`
	// unmeasured is how many of these have no sample, for the reasons below; they
	// are not lost packets. After a restart it takes a moment until what the
	// operator did not see itself has been read back from Sound Check; until then
	// those slots are due and neither measured nor unmeasured.
	// +optional
	Unmeasured int64 `json:"unmeasured"`
	// unmeasuredBy splits unmeasured by reason. Absent when there are none.
	// +optional
	UnmeasuredBy *UnmeasuredCounts `json:"unmeasuredBy,omitempty"`
}

// UnmeasuredCounts counts slots without a sample, by reason.
type UnmeasuredCounts struct {
	// operatorDown: no operator was polling the job, or it came to it too late.
	// +optional
	OperatorDown int64 `json:"operatorDown,omitempty"`
	// busy: the poll before it was still running.
	// +optional
	Busy int64 `json:"busy,omitempty"`
	// overload: it did not fit into the limits that protect SpreeDB.
	// +optional
	Overload int64 `json:"overload,omitempty"`
	// suspended: spec.suspend was true.
	// +optional
	Suspended int64 `json:"suspended,omitempty"`
	// noTarget: there was no usable target IP.
	// +optional
	NoTarget int64 `json:"noTarget,omitempty"`
	// lost: it was measured, but the sample was given up at a limit of the spool,
	// or refused by Sound Check's database.
	// +optional
	Lost int64 `json:"lost,omitempty"`
}

// SampleCounts counts samples by outcome.
type SampleCounts struct {
	// total is success + missed + systemError.
	// +optional
	Total int64 `json:"total"`
	// success counts the polls that the device answered.
	// +optional
	Success int64 `json:"success"`
	// missed counts those that it did not answer, which is packet loss.
	// +optional
	Missed int64 `json:"missed"`
	// systemError counts those in which SpreeDB could not be asked or understood,
	// which says nothing about the device.
	// +optional
	SystemError int64 `json:"systemError"`
}

// RTTSummary sums up round-trip times as SpreeDB measured them, such as 12.345ms.
type RTTSummary struct {
	// last is the newest round-trip time, such as 12.345ms.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Last string `json:"last,omitempty"`
	// min is the shortest.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Min string `json:"min,omitempty"`
	// avg is the mean.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Avg string `json:"avg,omitempty"`
	// max is the longest.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Max string `json:"max,omitempty"`
}

// LastSample is the newest sample of a job.
type LastSample struct {
	// status is its outcome: success, missed (the device did not answer) or
	// system_error (SpreeDB could not be asked or understood).
	Status SampleStatus `json:"status"`
	// scheduledAt is when the poll was due.
	ScheduledAt metav1.MicroTime `json:"scheduledAt"`
	// recordedAt is when SpreeDB was asked.
	RecordedAt metav1.MicroTime `json:"recordedAt"`
	// poller is the name of the SpreeDB poller that answered.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Poller string `json:"poller,omitempty"`
	// missesInARow is how many samples up to this one were missed without a
	// success between them. From 3 on the device counts as down. Absent for none.
	// +optional
	MissesInARow int64 `json:"missesInARow,omitempty"`
}

// LastError is the newest answer that was not a success.
type LastError struct {
	// message is what SpreeDB said, or what went wrong in asking it.
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message"`
	// time is when SpreeDB was asked.
	Time metav1.MicroTime `json:"time"`
}

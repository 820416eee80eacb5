package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JobState is what the job's row in Sound Check says.
// +kubebuilder:validation:Enum=Running;Completed;Cancelled;Failed
type JobState string

// The states of a row.
const (
	StateRunning   JobState = "Running"
	StateCompleted JobState = "Completed"
	StateCancelled JobState = "Cancelled"
	StateFailed    JobState = "Failed"
)

// JobPhase is where a job stands, in one word.
// +kubebuilder:validation:Enum=Pending;Waiting;Running;Suspended;Completing;Completed;Cancelled;Failed
type JobPhase string

const (
	// PhasePending means that the start lies ahead.
	PhasePending JobPhase = "Pending"
	// PhaseWaiting means that there is no usable target IP yet.
	PhaseWaiting JobPhase = "Waiting"
	// PhaseRunning means that slots are being measured.
	PhaseRunning JobPhase = "Running"
	// PhaseSuspended means that spec.suspend is set.
	PhaseSuspended JobPhase = "Suspended"
	// PhaseCompleting means that the end has passed and the last samples are not stored yet.
	PhaseCompleting JobPhase = "Completing"
	// PhaseCompleted means that the job ran to its end. Final.
	PhaseCompleted JobPhase = "Completed"
	// PhaseCancelled means that somebody cancelled the job in Sound Check. Final.
	PhaseCancelled JobPhase = "Cancelled"
	// PhaseFailed means that the job failed: Sound Check says so, or it had no usable target through its whole duration. Final.
	PhaseFailed JobPhase = "Failed"
)

// SampleStatus is the outcome of one poll.
// +kubebuilder:validation:Enum=success;missed;system_error
type SampleStatus string

// LatencyJobSpec is what to measure. The operator copies it from the job's row in Sound Check and keeps it so; the one
// field that is yours is suspend.
// +kubebuilder:validation:XValidation:rule="self.jobID == oldSelf.jobID",message="spec.jobID cannot be changed: it names the row in Sound Check that this job mirrors"
type LatencyJobSpec struct {
	// jobID is the id of the job's row in Sound Check, a UUID in lower case. Written by the operator; it cannot change.
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$')",message="must be the id of a job in Sound Check: a UUID in lower case, such as 0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11"
	// +required
	JobID string `json:"jobID"`

	// targetIP is the IPv4 or IPv6 management address of the modem. Without one the job waits. Written by the operator.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be an IPv4 or IPv6 address, such as 10.1.2.3 or 2001:db8::7"
	// +optional
	TargetIP string `json:"targetIP,omitempty"`

	// cadenceSeconds is the time between two polls, in seconds, from 1 to 86400 (a day). Written by the operator.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +required
	CadenceSeconds int32 `json:"cadenceSeconds"`

	// durationMinutes is how long the job runs from startedAt, in minutes, from 1 to 525600 (a year). Written by the operator.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=525600
	// +required
	DurationMinutes int32 `json:"durationMinutes"`

	// startedAt is when the first poll is due; poll k is due k × cadenceSeconds later. Written by the operator.
	// +required
	StartedAt metav1.MicroTime `json:"startedAt"`

	// state is the status of the job's row in Sound Check: Running, Completed, Cancelled or Failed. Only a Running job is
	// polled. Written by the operator.
	// +required
	State JobState `json:"state"`

	// suspend stops polling while it is true; the slots that pass meanwhile count as unmeasured with the reason Suspended.
	// Default false. Yours to set: the operator never writes it.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`
}

// LatencyJobStatus is what was measured, as of asOf. The samples themselves are in Sound Check's database.
type LatencyJobStatus struct {
	// observedGeneration is the generation of the resource that this status was computed from.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase is where the job stands: Pending, Waiting, Running, Suspended, Completing, Completed, Cancelled or Failed.
	// +optional
	Phase JobPhase `json:"phase,omitempty"`

	// message says in a sentence why the job is in this phase.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Message string `json:"message,omitempty"`

	// asOf is when this status was written. In a large installation it trails the measuring by some minutes, never the samples.
	// +optional
	AsOf *metav1.Time `json:"asOf,omitempty"`

	// slots counts the instants at which a poll was due and what became of them.
	// +optional
	Slots SlotCounts `json:"slots,omitzero"`

	// samples counts the measured slots by outcome.
	// +optional
	Samples SampleCounts `json:"samples,omitzero"`

	// loss is the share of missed polls among those that could be measured: missed / (success + missed), such as 0.28%.
	// Absent while nothing was measured.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Loss string `json:"loss,omitempty"`

	// errors is the share of samples that could not be measured: systemError / total, such as 0.28%. Read it beside loss.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Errors string `json:"errors,omitempty"`

	// rtt sums up the round-trip times of the successful samples.
	// +optional
	RTT *RTTSummary `json:"rtt,omitempty"`

	// jitter is the mean difference between two successful round-trip times in a row, such as 1.207ms.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Jitter string `json:"jitter,omitempty"`

	// last is the newest sample.
	// +optional
	Last *LastSample `json:"last,omitempty"`

	// lastError is the newest answer that was not a success, and when it came.
	// +optional
	LastError *LastError `json:"lastError,omitempty"`

	// nextPollTime is when the next poll was due as of asOf. Absent when none will come.
	// +optional
	NextPollTime *metav1.MicroTime `json:"nextPollTime,omitempty"`

	// completionTime is when the job reached a final phase.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// checkpoint is what the operator needs to go on exactly after a restart.
	// +optional
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`

	// conditions are Ready, Delivered, Complete and Stalled.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// SlotCounts counts the slots of a job. A slot that is due is measured (see samples), unmeasured, or being polled.
type SlotCounts struct {
	// total is how many slots the job has from its start to its end.
	// +optional
	Total int64 `json:"total"`
	// due is how many of them were due as of asOf.
	// +optional
	Due int64 `json:"due"`
	// unmeasured is how many of them have no sample. After a restart it takes a moment until what the operator did not see
	// itself has been read back from Sound Check; until then those slots are due and neither measured nor unmeasured.
	// +optional
	Unmeasured int64 `json:"unmeasured"`
	// unmeasuredBy splits unmeasured by reason.
	// +optional
	UnmeasuredBy *UnmeasuredCounts `json:"unmeasuredBy,omitempty"`
}

// UnmeasuredCounts counts slots without a sample, by reason.
type UnmeasuredCounts struct {
	// operatorDown: no operator was polling this job.
	// +optional
	OperatorDown int64 `json:"operatorDown,omitempty"`
	// busy: the poll before it was still running.
	// +optional
	Busy int64 `json:"busy,omitempty"`
	// overload: it did not fit into the limits that protect SpreeDB.
	// +optional
	Overload int64 `json:"overload,omitempty"`
	// suspended: spec.suspend was set.
	// +optional
	Suspended int64 `json:"suspended,omitempty"`
	// noTarget: there was no usable target IP.
	// +optional
	NoTarget int64 `json:"noTarget,omitempty"`
	// lost: it was measured, but the sample was given up or refused before Sound Check had it.
	// +optional
	Lost int64 `json:"lost,omitempty"`
}

// SampleCounts counts samples by outcome.
type SampleCounts struct {
	// total is success + missed + systemError.
	// +optional
	Total int64 `json:"total"`
	// success: the device answered.
	// +optional
	Success int64 `json:"success"`
	// missed: the device did not answer; counts as loss.
	// +optional
	Missed int64 `json:"missed"`
	// systemError: SpreeDB could not be asked or understood; says nothing about the device.
	// +optional
	SystemError int64 `json:"systemError"`
}

// RTTSummary sums up round-trip times as SpreeDB measured them, such as 12.345ms.
type RTTSummary struct {
	// last is the newest one.
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
	// status is its outcome: success, missed or system_error.
	Status SampleStatus `json:"status"`
	// scheduledAt is when it was due.
	ScheduledAt metav1.MicroTime `json:"scheduledAt"`
	// recordedAt is when SpreeDB was asked.
	RecordedAt metav1.MicroTime `json:"recordedAt"`
	// poller is the name of the SpreeDB poller that answered.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Poller string `json:"poller,omitempty"`
	// missesInARow is how many samples up to this one were missed without a success between them.
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

// Checkpoint is the newest account of the job of which Sound Check's database is known to have every outcome. A new
// operator goes on from it and reads the rest from the database. It is the operator's own; do not rely on it.
type Checkpoint struct {
	// accountedUntil is the due time of the newest slot in this account.
	// +optional
	AccountedUntil *metav1.MicroTime `json:"accountedUntil,omitempty"`
	// gridStart and cadenceSeconds are the start and the cadence that the job had then; slots of this grid count from gridSince,
	// or from its start.
	// +optional
	GridStart *metav1.MicroTime `json:"gridStart,omitempty"`
	// +optional
	CadenceSeconds int32 `json:"cadenceSeconds,omitempty"`
	// +optional
	GridSince *metav1.MicroTime `json:"gridSince,omitempty"`
	// sequence is the highest sequence_number that was given to a sample when the status was written.
	// +optional
	Sequence *int64 `json:"sequence,omitempty"`
	// success, missed and systemError count the samples.
	// +optional
	Success int64 `json:"success,omitempty"`
	// +optional
	Missed int64 `json:"missed,omitempty"`
	// +optional
	SystemError int64 `json:"systemError,omitempty"`
	// foreign counts those of them that belong to no slot, because somebody else wrote them.
	// +optional
	Foreign int64 `json:"foreign,omitempty"`
	// unmeasured counts slots without a sample, by reason.
	// +optional
	Unmeasured *UnmeasuredCounts `json:"unmeasured,omitempty"`
	// rttSum is the sum of all successful round-trip times.
	// +kubebuilder:validation:MaxLength=48
	// +optional
	RTTSum string `json:"rttSum,omitempty"`
	// rttCount is how many values rttSum holds.
	// +optional
	RTTCount int64 `json:"rttCount,omitempty"`
	// rttMin is the shortest round-trip time.
	// +kubebuilder:validation:MaxLength=48
	// +optional
	RTTMin string `json:"rttMin,omitempty"`
	// rttMax is the longest round-trip time.
	// +kubebuilder:validation:MaxLength=48
	// +optional
	RTTMax string `json:"rttMax,omitempty"`
	// jitterSum is the sum of all jitter values.
	// +kubebuilder:validation:MaxLength=48
	// +optional
	JitterSum string `json:"jitterSum,omitempty"`
	// jitterCount is how many values jitterSum holds.
	// +optional
	JitterCount int64 `json:"jitterCount,omitempty"`
	// rttLast is the newest successful round-trip time when the status was written, of the slot that was due at rttLastAt.
	// +kubebuilder:validation:MaxLength=48
	// +optional
	RTTLast string `json:"rttLast,omitempty"`
	// +optional
	RTTLastAt *metav1.MicroTime `json:"rttLastAt,omitempty"`
}

// LatencyJob is one latency job of Sound Check: it polls one modem at a fixed cadence for a fixed time.
// The operator makes one for each real_polling row and takes it away some time after the job has ended.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=latencyjobs,singular=latencyjob,shortName=lj,categories=all
// +kubebuilder:selectablefield:JSONPath=`.spec.jobID`
// +kubebuilder:selectablefield:JSONPath=`.status.phase`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == self.spec.jobID",message="metadata.name must equal spec.jobID: a LatencyJob is named after the row in Sound Check that it mirrors"
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.targetIP`
// +kubebuilder:printcolumn:name="Cadence",type=integer,JSONPath=`.spec.cadenceSeconds`,description="Seconds between two polls"
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Last",type=string,JSONPath=`.status.last.status`,description="Outcome of the newest poll"
// +kubebuilder:printcolumn:name="RTT",type=string,JSONPath=`.status.rtt.last`,description="Newest round-trip time"
// +kubebuilder:printcolumn:name="Loss",type=string,JSONPath=`.status.loss`,description="missed / (success + missed)"
// +kubebuilder:printcolumn:name="Samples",type=integer,JSONPath=`.status.samples.total`
// +kubebuilder:printcolumn:name="Last-Poll",type=date,JSONPath=`.status.last.recordedAt`
// +kubebuilder:printcolumn:name="As-Of",type=date,JSONPath=`.status.asOf`,description="When this line was written"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Errors",type=string,JSONPath=`.status.errors`,priority=1,description="systemError / samples"
// +kubebuilder:printcolumn:name="Unmeasured",type=integer,JSONPath=`.status.slots.unmeasured`,priority=1,description="Slots that passed without a poll"
// +kubebuilder:printcolumn:name="Next-Poll",type=string,JSONPath=`.status.nextPollTime`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`,priority=1
type LatencyJob struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what to measure.
	// +required
	Spec LatencyJobSpec `json:"spec"`
	// status is what was measured.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status LatencyJobStatus `json:"status,omitempty,omitzero"`
}

// LatencyJobList is a list of LatencyJobs.
// +kubebuilder:object:root=true
type LatencyJobList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []LatencyJob `json:"items"`
}

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
type LatencyJobSpec struct {
	// jobID is the id of the job's row in Sound Check: a UUID in lower case,
	// which is the name of the LatencyJob too. Written by the operator. It
	// cannot change.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$')",message="must be the id of a job in Sound Check: a UUID in lower case, such as 0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11"
	// +required
	JobID string `json:"jobID"`

	// targetIP is the management address of the modem, IPv4 or IPv6. It is
	// absent while the row in Sound Check has none that can be used: then the
	// job waits. Written by the operator: to change it, change target_ip in
	// Sound Check.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be a plain IPv4 or IPv6 address, such as 10.1.2.3 or 2001:db8::7"
	// +optional
	TargetIP string `json:"targetIP,omitempty"`

	// cadenceSeconds is the time between two polls, in seconds: from 1 to 86400
	// (a day). Written by the operator: to change it, change cadence_seconds in
	// Sound Check.
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 86400",message="must be from 1 to 86400: the seconds between two polls"
	// +required
	CadenceSeconds int32 `json:"cadenceSeconds"`

	// durationMinutes is how long the job runs from startedAt, in minutes: from 1
	// to 525600 (a year). Written by the operator: to change it, change
	// duration_minutes in Sound Check.
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 525600",message="must be from 1 to 525600: the minutes that the job runs from startedAt"
	// +required
	DurationMinutes int32 `json:"durationMinutes"`

	// startedAt is when the first poll is due. Poll k is due k * cadenceSeconds
	// later, for as long as that is before the job's end. It is written to the
	// microsecond, such as 2026-01-31T08:00:00.000000Z. Written by the operator:
	// to change it, change started_at in Sound Check.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}(Z|[+-][0-9]{2}:[0-9]{2})$') && string(timestamp(self)) != ''",message="must be a time to the microsecond, such as 2026-01-31T08:00:00.000000Z"
	// +required
	StartedAt metav1.MicroTime `json:"startedAt"`

	// state is the status of the job's row in Sound Check: Running, Completed,
	// Cancelled or Failed. Only a Running job is polled. Written by the operator:
	// to end a job, cancel it in Sound Check.
	// +required
	State JobState `json:"state"`

	// suspend pauses polling while it is true. The slots that pass meanwhile
	// count as unmeasured, with the reason Suspended, and the job still ends when
	// its time is over. Default false. Yours to set: the operator never writes it.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`
}

// LatencyJob is one latency job of Sound Check: it polls one modem at a
// fixed cadence for a fixed time, and sums up what came of it.
//
// The operator makes one for each row of the table jobs that is running and
// has monitoring_mode real_polling, and takes it away some time after the job
// has ended. Jobs are started and ended in Sound Check: a LatencyJob that is
// deleted comes back while its row runs, and one made by hand is never polled.
// To look at it, read status.message first, and status.report once it is over.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=latencyjobs,singular=latencyjob,shortName=lj,categories=all
// +kubebuilder:selectablefield:JSONPath=`.spec.jobID`
// +kubebuilder:selectablefield:JSONPath=`.status.phase`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == self.spec.jobID",fieldPath=".spec.jobID",message="must equal metadata.name, and so cannot be changed: a LatencyJob is named after the row in Sound Check that it mirrors"
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
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.status.report.verdict`,priority=1,description="What the samples of a job that is over show"
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`,priority=1
type LatencyJob struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what to measure. The operator copies it from the job's row in Sound
	// Check and sets it back when somebody changes it; the one field that is yours
	// is suspend.
	// +required
	Spec LatencyJobSpec `json:"spec"`
	// status is what was measured, as of asOf. It is written by the operator. The
	// samples themselves are in Sound Check's database.
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

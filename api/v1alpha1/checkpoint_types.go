package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Checkpoint is the newest account of the job of which Sound Check's database is known to have every outcome. A new
// operator goes on from it and reads the rest from the database. It is the operator's own; do not rely on it.
type Checkpoint struct {
	// accountedUntil is when the newest slot in this account was due.
	// +optional
	AccountedUntil *metav1.MicroTime `json:"accountedUntil,omitempty"`
	// gridStart is the start that the job had then.
	// +optional
	GridStart *metav1.MicroTime `json:"gridStart,omitempty"`
	// cadenceSeconds is the cadence that the job had then, in seconds.
	// +optional
	CadenceSeconds int32 `json:"cadenceSeconds,omitempty"`
	// gridSince is from when on slots of that start and cadence count. Absent
	// where all of them do.
	// +optional
	GridSince *metav1.MicroTime `json:"gridSince,omitempty"`
	// sequence is the highest sequence_number that had been given to a sample
	// when the status was written.
	// +optional
	Sequence *int64 `json:"sequence,omitempty"`
	// success counts the samples of devices that answered.
	// +optional
	Success int64 `json:"success,omitempty"`
	// missed counts those of devices that did not.
	// +optional
	Missed int64 `json:"missed,omitempty"`
	// systemError counts those in which SpreeDB could not be asked or understood.
	// +optional
	SystemError int64 `json:"systemError,omitempty"`
	// foreign counts those of all these that belong to no slot, because somebody
	// else wrote them.
	// +optional
	Foreign int64 `json:"foreign,omitempty"`
	// unmeasured counts slots without a sample, by reason.
	// +optional
	Unmeasured *UnmeasuredCounts `json:"unmeasured,omitempty"`
	// rttSum is the sum of the round-trip times.
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
	// rttLast is the newest round-trip time when the status was written.
	// +kubebuilder:validation:MaxLength=48
	// +optional
	RTTLast string `json:"rttLast,omitempty"`
	// rttLastAt is when the slot was due that rttLast is of.
	// +optional
	RTTLastAt *metav1.MicroTime `json:"rttLastAt,omitempty"`
}

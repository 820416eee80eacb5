package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JobReport is what a job came to, from all samples and gaps that Sound Check's database has of it.
type JobReport struct {
	// verdict is what the samples show, in one word:
	//
	// Healthy: the device answers, with 2% loss at most.
	// Lossy: it answers, with more loss than that.
	// DeviceDropped: it was silent for 3 polls in a row or more, and came back
	// or went away.
	// DeviceSilent: it answered no poll.
	// MeasuringFailed: half of the polls or more could not be made, so that
	// nothing can be said about the device. Look at SpreeDB first.
	// TooLittleData: there are fewer than 20 polls to judge by.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Verdict string `json:"verdict,omitempty"`

	// message says it in plain sentences: what the device did, then what could
	// not be measured, then what was not. It is about the path from the poller to
	// the modem's management address, not about the customer's own traffic.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`

	// completeness is the share of the job's slots that have a sample, such as
	// 99.72%. The lower it is, the less the other figures say.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Completeness string `json:"completeness,omitempty"`

	// loss is the share of polls that the device did not answer: missed /
	// (success + missed), such as 0.28%. Absent when nothing could be measured.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Loss string `json:"loss,omitempty"`

	// errors is the share of samples in which SpreeDB could not be asked or
	// understood, which says nothing about the device: systemError / total, such
	// as 0.28%.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Errors string `json:"errors,omitempty"`

	// samples counts the samples that these figures are about: those of the job's
	// slots.
	// +optional
	Samples SampleCounts `json:"samples,omitzero"`

	// unmeasured counts the slots without a sample. They are not lost packets;
	// status.slots.unmeasuredBy says why.
	// +optional
	Unmeasured int64 `json:"unmeasured"`

	// rtt is how the round-trip times of the successful samples are distributed.
	// Absent without one.
	// +optional
	RTT *RTTDistribution `json:"rtt,omitempty"`

	// jitter is the mean difference between two successful round-trip times in a
	// row, such as 1.207ms. Absent without two.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Jitter string `json:"jitter,omitempty"`

	// outages counts how often the device did not answer 3 polls in a row, or
	// more. Fewer than that are loss.
	// +optional
	Outages int64 `json:"outages"`

	// longestOutage is the longest of them. Absent without one.
	// +optional
	LongestOutage *Outage `json:"longestOutage,omitempty"`
}

// RTTDistribution is how round-trip times are distributed, such as 12.345ms each.
type RTTDistribution struct {
	// min is the shortest round-trip time.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Min string `json:"min,omitempty"`
	// avg is the mean.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Avg string `json:"avg,omitempty"`
	// p50 is the median: half of the answers came within it.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	P50 string `json:"p50,omitempty"`
	// p95: 95 of 100 answers came within it.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	P95 string `json:"p95,omitempty"`
	// p99: 99 of 100 answers came within it.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	P99 string `json:"p99,omitempty"`
	// max is the longest.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Max string `json:"max,omitempty"`
}

// Outage is a time in which a device answered no poll.
type Outage struct {
	// from is when the first poll was due that it did not answer.
	From metav1.MicroTime `json:"from"`
	// duration is the time that the missed polls stand for, such as 4m30s: from
	// the first of them to the last, and the time to the next. A slot that nobody
	// measured ends it, because the device may have answered in it.
	// +kubebuilder:validation:MaxLength=32
	Duration string `json:"duration"`
	// missed counts these polls.
	Missed int64 `json:"missed"`
}

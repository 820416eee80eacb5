package controllers

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

// What the API server says is all that whoever edits a LatencyJob gets to read: it has to say what to do.
func TestTheAPIServerSaysWhatCannotBe(t *testing.T) {
	w := newWorld(t)
	api := client.WithFieldValidation(w.api, metav1.FieldValidationStrict) // as kubectl does
	const id = "0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11"
	const (
		address  = "must be a plain IPv4 or IPv6 address, such as 10.1.2.3 or 2001:db8::7"
		cadence  = "must be from 1 to 86400: the seconds between two polls"
		duration = "must be from 1 to 525600: the minutes that the job runs from startedAt"
		uuid     = "must be the id of a job in Sound Check: a UUID in lower case, such as 0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11"
		name     = "must equal metadata.name, and so cannot be changed: a LatencyJob is named after the row in Sound Check that it mirrors"
		instant  = "must be a time to the microsecond, such as 2026-01-31T08:00:00.000000Z"
	)
	for _, tc := range []struct {
		field string // of spec, or name
		value any    // nil for none
		says  string // nothing where it is accepted
	}{
		{"targetIP", "10.1.2.3", ""},
		{"targetIP", "2001:db8::7", ""},
		{"targetIP", nil, ""},
		{"targetIP", "modem-7", `spec.targetIP: Invalid value: "modem-7": ` + address},
		{"targetIP", "10.1.2", `spec.targetIP: Invalid value: "10.1.2": ` + address},
		{"targetIP", "10.1.2.3/24", `spec.targetIP: Invalid value: "10.1.2.3/24": ` + address},
		{"targetIP", "fe80::1%eth0", `spec.targetIP: Invalid value: "fe80::1%eth0": ` + address},
		{"targetIP", "", `spec.targetIP: Invalid value: "": ` + address},
		{"targetIP", "the modem of the customer in the second house on the left", address},
		{"cadenceSeconds", int64(1), ""},
		{"cadenceSeconds", int64(86400), ""},
		{"cadenceSeconds", int64(0), "spec.cadenceSeconds: Invalid value: 0: " + cadence},
		{"cadenceSeconds", int64(-1), "spec.cadenceSeconds: Invalid value: -1: " + cadence},
		{"cadenceSeconds", int64(86401), "spec.cadenceSeconds: Invalid value: 86401: " + cadence},
		{"cadenceSeconds", int64(99999999999), "spec.cadenceSeconds: Invalid value: 99999999999: " + cadence},
		{"cadenceSeconds", "10s", `spec.cadenceSeconds in body must be of type integer: "string"`},
		{"cadenceSeconds", nil, "spec.cadenceSeconds: Required value"},
		{"durationMinutes", int64(525600), ""},
		{"durationMinutes", int64(0), "spec.durationMinutes: Invalid value: 0: " + duration},
		{"durationMinutes", int64(525601), "spec.durationMinutes: Invalid value: 525601: " + duration},
		{"startedAt", "2026-11-29T01:00:00.000000Z", ""},
		{"startedAt", "2026-11-29T01:00:00.123456+05:30", ""},
		{"startedAt", "yesterday", `spec.startedAt: Invalid value: "yesterday": ` + instant},
		{"startedAt", "2026-11-29 01:00:00", instant},
		// It is a time, but the operator's cache could not decode it, nor any other LatencyJob any more.
		{"startedAt", "2026-11-29T01:00:00Z", `spec.startedAt: Invalid value: "2026-11-29T01:00:00Z": ` + instant},
		{"startedAt", "2026-02-30T01:00:00.000000Z", "spec.startedAt: Invalid value"},
		{"startedAt", "2026-11-29T25:00:00.000000Z", "spec.startedAt: Invalid value"},
		{"startedAt", "2026-11-29T01:00:00.000000+99:00", "spec.startedAt: Invalid value"},
		{"state", "Cancelled", ""},
		{"state", "Paused", `spec.state: Unsupported value: "Paused": supported values: "Running", "Completed", "Cancelled", "Failed"`},
		{"suspend", true, ""},
		{"suspend", "yes", `spec.suspend in body must be of type boolean: "string"`},
		{"suspended", true, `strict decoding error: unknown field "spec.suspended"`},
		{"jobID", "my-job", `spec.jobID: Invalid value: "my-job": ` + uuid},
		{"jobID", "0B9C3F0E-5A54-4C6E-9D0C-2A4F6F1F7A11", uuid},
		{"jobID", id + "-and-more", uuid},
		{"jobID", "1" + id[1:], "spec.jobID: Invalid value: " + name},
		{"name", "my-job", "spec.jobID: Invalid value: " + name},
	} {
		t.Run(fmt.Sprintf("%s %v", tc.field, tc.value), func(t *testing.T) {
			spec := map[string]any{"jobID": id, "targetIP": "10.1.2.3", "cadenceSeconds": int64(10), "durationMinutes": int64(60), "startedAt": "2026-11-29T01:00:00.000000Z", "state": "Running"}
			job := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
			job.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("LatencyJob"))
			job.SetNamespace(w.namespace)
			job.SetName(id)
			switch {
			case tc.field == "name":
				job.SetName(tc.value.(string))
			case tc.value == nil:
				delete(spec, tc.field)
			default:
				spec[tc.field] = tc.value
			}
			g := NewWithT(t)
			err := api.Create(t.Context(), job, client.DryRunAll)
			if tc.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(job.Object, &v1alpha1.LatencyJob{})).To(Succeed(), "what is accepted can be decoded")
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(tc.says)))
		})
	}
}

func TestTheIDCannotChange(t *testing.T) {
	w := newWorld(t)
	job := jobOf(func(j *v1alpha1.LatencyJob) { j.Namespace = w.namespace })
	w.Expect(w.api.Create(t.Context(), &job)).To(Succeed())
	w.Expect(job.Status.ObservedGeneration).To(Equal(int64(-1)), "so that tools do not take a job that nobody has looked at for ready")
	job.Spec.JobID = "1" + job.Spec.JobID[1:]
	w.Expect(w.api.Update(t.Context(), &job)).To(MatchError(ContainSubstring("must equal metadata.name, and so cannot be changed")))
}

func TestWhatPeopleSee(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	other := w.insertJob(nil, 0)
	w.operate()
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.soon(w.phase(other)).Should(Equal(v1alpha1.PhaseWaiting))
	w.soon(func() int64 { job, _ := w.job(id)(); return job.Status.Samples.Total }).Should(BeNumerically(">=", 1))

	config := rest.CopyConfig(apiServer)
	config.GroupVersion, config.APIPath = &v1alpha1.GroupVersion, "/apis"
	config.NegotiatedSerializer = clientgoscheme.Codecs.WithoutConversion()
	api, err := rest.RESTClientFor(config)
	w.Expect(err).NotTo(HaveOccurred())
	raw, err := api.Get().Namespace(w.namespace).Resource("latencyjobs").Param("fieldSelector", "spec.jobID="+id+",status.phase=Running").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw()
	w.Expect(err).NotTo(HaveOccurred())
	table := &metav1.Table{}
	w.Expect(json.Unmarshal(raw, table)).To(Succeed())
	var columns, wide []string
	for _, c := range table.ColumnDefinitions {
		if c.Priority == 0 {
			columns = append(columns, c.Name)
		} else {
			wide = append(wide, c.Name)
		}
	}
	w.Expect(strings.Join(columns, " ")).To(Equal("Name Target Cadence Phase Last RTT Loss Samples Last-Poll As-Of Age"))
	w.Expect(strings.Join(wide, " ")).To(Equal("Errors Unmeasured Next-Poll Verdict Message"))
	w.Expect(table.Rows).To(HaveLen(1))
	cells := table.Rows[0].Cells
	w.Expect(cells[:5]).To(Equal([]any{id, "10.0.0.1", float64(1), "Running", "success"}))
	w.Expect(cells[5]).To(MatchRegexp(`^\d+\.\d{3}ms$`))
	w.Expect(cells[6]).To(Equal("0.00%"))

	raw, err = api.Get().AbsPath("/apis/latency.soundcheck.io/v1alpha1").SetHeader("Accept", "application/json").Do(t.Context()).Raw()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(string(raw)).To(ContainSubstring(`"shortNames":["lj"]`))
}

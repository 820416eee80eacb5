package controllers

import (
	"encoding/json"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

func TestTheAPIServerRefusesWhatCannotBe(t *testing.T) {
	w := newWorld(t)
	for name, tc := range map[string]struct {
		change  func(*v1alpha1.LatencyJob)
		message string
	}{
		"as it should be":    {func(*v1alpha1.LatencyJob) {}, ""},
		"IPv6":               {func(j *v1alpha1.LatencyJob) { j.Spec.TargetIP = "2001:db8::7" }, ""},
		"no target":          {func(j *v1alpha1.LatencyJob) { j.Spec.TargetIP = "" }, ""},
		"name is not the id": {func(j *v1alpha1.LatencyJob) { j.Name = "my-job" }, "metadata.name must equal spec.jobID: a LatencyJob is named after the row in Sound Check that it mirrors"},
		"id is not a UUID": {func(j *v1alpha1.LatencyJob) { j.Name, j.Spec.JobID = "my-job", "my-job" },
			"must be the id of a job in Sound Check: a UUID in lower case, such as"},
		"a host name":       {func(j *v1alpha1.LatencyJob) { j.Spec.TargetIP = "modem-7" }, "must be an IPv4 or IPv6 address, such as 10.1.2.3 or 2001:db8::7"},
		"cadence zero":      {func(j *v1alpha1.LatencyJob) { j.Spec.CadenceSeconds = 0 }, "spec.cadenceSeconds: Invalid value: 0: spec.cadenceSeconds in body should be greater than or equal to 1"},
		"cadence too long":  {func(j *v1alpha1.LatencyJob) { j.Spec.CadenceSeconds = 86401 }, "should be less than or equal to 86400"},
		"duration too long": {func(j *v1alpha1.LatencyJob) { j.Spec.DurationMinutes = 525601 }, "should be less than or equal to 525600"},
		"unknown state":     {func(j *v1alpha1.LatencyJob) { j.Spec.State = "Paused" }, `supported values: "Running", "Completed", "Cancelled", "Failed"`},
	} {
		t.Run(name, func(t *testing.T) {
			job := jobOf(func(j *v1alpha1.LatencyJob) { j.Namespace = w.namespace })
			tc.change(&job)
			err := w.api.Create(t.Context(), &job, client.DryRunAll)
			if tc.message == "" {
				NewWithT(t).Expect(err).NotTo(HaveOccurred())
				return
			}
			NewWithT(t).Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
			NewWithT(t).Expect(err.Error()).To(ContainSubstring(tc.message))
		})
	}
}

func TestTheIDCannotChange(t *testing.T) {
	w := newWorld(t)
	job := jobOf(func(j *v1alpha1.LatencyJob) { j.Namespace = w.namespace })
	w.Expect(w.api.Create(t.Context(), &job)).To(Succeed())
	w.Expect(job.Status.ObservedGeneration).To(Equal(int64(-1)), "so that tools do not take a job that nobody has looked at for ready")
	job.Spec.JobID = "1" + job.Spec.JobID[1:]
	w.Expect(w.api.Update(t.Context(), &job)).To(MatchError(ContainSubstring("spec.jobID cannot be changed")))
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
	w.Expect(strings.Join(wide, " ")).To(Equal("Errors Unmeasured Next-Poll Message"))
	w.Expect(table.Rows).To(HaveLen(1))
	cells := table.Rows[0].Cells
	w.Expect(cells[:5]).To(Equal([]any{id, "10.0.0.1", float64(1), "Running", "success"}))
	w.Expect(cells[5]).To(MatchRegexp(`^\d+\.\d{3}ms$`))
	w.Expect(cells[6]).To(Equal("0.00%"))

	raw, err = api.Get().AbsPath("/apis/latency.soundcheck.io/v1alpha1").SetHeader("Accept", "application/json").Do(t.Context()).Raw()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(string(raw)).To(ContainSubstring(`"shortNames":["lj"]`))
}

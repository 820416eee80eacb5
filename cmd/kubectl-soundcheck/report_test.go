package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/render"
	"github.com/soundcheck-io/latency-operator/internal/report"
)

func TestAReportComesThroughTheOperator(t *testing.T) {
	w := newWorld(t).withDatabase()
	w.job(idA, "10.1.2.3", "completed", v1alpha1.LatencyJobStatus{Phase: v1alpha1.PhaseCompleted})
	w.measured(idA, 0, 349, 10)
	w.gap(350, 359, "OperatorDown")
	w.account(readerAccount, mayRead)
	user := w.asAccount("technician", mayList, maySee, mayForward, mayRequest)

	for _, name := range []string{idA, strings.ToUpper(idA), "0b9c", "10.1.2.3"} {
		got := w.do(user, "report", name)
		w.Expect(got.code).To(BeZero(), "%s: %s", name, got.err)
		w.Expect(got.out).To(And(ContainSubstring(idA+" (completed)"), ContainSubstring("35 of 350 polls were missed"),
			ContainSubstring("no operator was polling (OperatorDown)"), ContainSubstring("350 of 360 slots")), name)
		w.Expect(got.err).To(BeEmpty(), name)
	}
	var document render.Document
	w.Expect(json.Unmarshal([]byte(w.do(user, "report", "0b9c", "-o", "json").out), &document)).To(Succeed())
	w.Expect(document.Verdict).To(Equal(report.Lossy))
	w.Expect(*document.Loss).To(Equal(0.1))
	w.Expect(*document.Completeness).To(BeNumerically("~", 350.0/360))
	w.Expect(document.Slots.Open).To(BeZero())
	page := w.do(user, "report", "0b9c", "-o", "html").out
	w.Expect(page).To(And(HavePrefix("<!DOCTYPE html>"), ContainSubstring("Latency of 10.1.2.3"), HaveSuffix("</html>\n")))
	w.Expect(page).NotTo(Or(ContainSubstring("A-1"), ContainSubstring("a@b.c")))

	// A job that the cluster has forgotten, and somebody who logs in with a certificate.
	w.row(idC, "10.9.9.9", "completed")
	got := w.do(w.asCertificate("engineer", mayList, maySee, mayForward, mayRequest), "report", idC)
	w.Expect(got.code).To(BeZero(), got.err)
	w.Expect(got.out).To(ContainSubstring("What became of 360 slots is not in the database."))
}

func TestJobsAreComparedBeforeAndAfter(t *testing.T) {
	w := newWorld(t).withDatabase()
	w.job(idA, "10.1.2.3", "completed", v1alpha1.LatencyJobStatus{})
	w.job(idC, "10.1.2.3", "completed", v1alpha1.LatencyJobStatus{})
	w.measured(idA, 0, 359, 4)
	w.measured(idC, 0, 359, 0)
	user := w.everything()
	got := w.do(user, "compare", "0b9", "5b0")
	w.Expect(got.code).To(BeZero(), got.err)
	w.Expect(got.out).To(HavePrefix("It got better. Loss fell from 25.00% (90 of 360 polls) to 0.00% (0 of 360)."))
	var document render.ComparisonDocument
	w.Expect(json.Unmarshal([]byte(w.do(user, "compare", "5b0", "0b9", "-o", "json").out), &document)).To(Succeed())
	w.Expect(document.Overall).To(Equal(report.Worse))
	got = w.do(user, "compare", "0b9", "77")
	w.Expect(got.code).To(Equal(1))
	w.Expect(got.err).To(HavePrefix(`error: 77: there is no job "77"`))
}

func TestWhatIsMissingIsSaidInASentence(t *testing.T) {
	w := newWorld(t).withDatabase()
	w.job(idA, "10.1.2.3", "running", v1alpha1.LatencyJobStatus{Phase: v1alpha1.PhaseRunning})
	w.job(idB, "10.1.2.4", "running", v1alpha1.LatencyJobStatus{Phase: v1alpha1.PhaseRunning})
	w.measured(idA, 0, 359, 0)
	got := w.do(w.asCertificate("early", mayList, maySee, mayForward, mayRequest), "report", idA)
	w.Expect(got.err).To(ContainSubstring("there is no service account latency-operator-reader in the namespace " + w.namespace))
	all := w.everything()
	for name, c := range map[string]struct {
		flags []string
		args  []string
		says  string
	}{
		"no right to list":       {w.asAccount("nobody"), []string{"list"}, "you may not list LatencyJobs in the namespace " + w.namespace + ": name the right one with -n, or ask its administrator for the Role latency-operator-cli-user"},
		"no right to see pods":   {w.asAccount("blind", mayList), []string{"report", idA}, "you may not list pods in the namespace"},
		"no right to forward":    {w.asAccount("local", mayList, maySee, mayRequest), []string{"report", idA}, "you may not forward a port of the operator's pod"},
		"no right to a token":    {w.asAccount("weak", mayList, maySee, mayForward), []string{"report", idA}, "you may not get a token of the service account latency-operator-reader"},
		"no right to exec":       {w.asAccount("patient", maySee), []string{"doctor"}, "ask its administrator for the right to create pods/exec"},
		"a wrong token":          {append(slices.Clip(all), "--token=x"), []string{"list"}, "the cluster does not accept your credentials: log in again"},
		"no cluster":             {[]string{"--kubeconfig=/dev/null"}, []string{"list"}, "there is no cluster to ask: log in"},
		"a cluster that is away": {[]string{"--kubeconfig=/dev/null", "--server=https://127.0.0.1:1"}, []string{"list"}, "the cluster cannot be reached: "},
		"another namespace":      {append(slices.Clip(all), "-n", "elsewhere"), []string{"list"}, "in the namespace elsewhere"},
		"no such job":            {all, []string{"report", "77"}, `there is no job "77" in the namespace ` + w.namespace},
		"no such target":         {all, []string{"report", "10.9.9.9"}, "there is no job for 10.9.9.9"},
		"a job nobody knows":     {all, []string{"report", idC}, "The database has no job with the id " + idC},
		"two jobs":               {all, []string{"report", "0b9c3f0e"}, `2 jobs begin with "0b9c3f0e": give more of the id. They are ` + idA + " (10.1.2.3, Running), " + idB + " (10.1.2.4, Running)"},
		"no job":                 {all, []string{"report"}, "kubectl soundcheck report: give one JOB: see kubectl soundcheck report --help"},
		"an unknown format":      {all, []string{"report", idA, "-o", "pdf"}, "-o pdf is not known: give one of text, json, html"},
		"an unknown flag":        {all, []string{"watch", idA, "--speed"}, "unknown flag: --speed: see kubectl soundcheck watch --help"},
		"an unknown command":     {all, []string{"fly"}, `unknown command "fly"`},
		"an unknown phase":       {all, []string{"list", "--phase", "Flying"}, "--phase Flying is not known: give some of Pending, Waiting"},
		"an unknown order":       {all, []string{"list", "--sort-by", "luck"}, "--sort-by luck is not known"},
		"an unknown target":      {all, []string{"list", "--target", "x"}, "--target x is neither an IP address nor a network"},
	} {
		got := w.do(c.flags, c.args...)
		if got.code != 1 || !strings.HasPrefix(got.err, "error: ") || !strings.Contains(got.err, c.says) || strings.Count(got.err, "\n") != 1 || got.out != "" {
			t.Errorf("%s: exit code %d: %s%s", name, got.code, got.err, got.out)
		}
	}

	for name, c := range map[string]struct {
		handler http.HandlerFunc
		says    string
	}{
		"cut off": {func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = rw.Write([]byte(`{"job":{"id":"` + idA + `","cadenceSeconds":10,"durationMinutes":60,"status":"running"}}` + "\n"))
		}, "was cut off before its end"},
		"midway": {func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = rw.Write([]byte(`{"error":"Supabase went away."}` + "\n"))
		}, "the operator could not read all of the job's samples: Supabase went away."},
		"an old operator": {http.NotFound, "older than this program"},
		"Supabase is away": {func(rw http.ResponseWriter, _ *http.Request) {
			http.Error(rw, "Supabase did not answer.", http.StatusServiceUnavailable)
		}, "error: Supabase did not answer."},
		"a row that is wrong": {func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = rw.Write([]byte(`{"job":{"id":"` + idA + `"}}` + "\n"))
		}, "cannot be used: it says every 0 s"},
		"something else": {func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("# HELP\n")) }, "this is not an answer of the operator's samples"},
	} {
		w.serve(c.handler)
		if got := w.do(all, "report", idA); got.code != 1 || !strings.Contains(got.err, c.says) || got.out != "" {
			t.Errorf("%s: exit code %d: %s%s", name, got.code, got.err, got.out)
		}
	}
	w.kubelet.setListener("")
	// The reason and the end of its stream race each other: it may take a second try to read it.
	w.Eventually(func() string { return w.do(all, "report", idA).err }, patience).
		Should(ContainSubstring("the operator does not serve samples in pod latency-operator-0: it needs --metrics-bind-address=:8443"))
	w.removeOperators()
	w.Expect(w.do(all, "report", idA).err).To(ContainSubstring("no operator runs in the namespace " + w.namespace))
	w.operator("latency-operator-1", "ImagePullBackOff")
	w.Expect(w.do(all, "doctor").err).To(ContainSubstring("the operator is not ready: pod latency-operator-1, which waits: ImagePullBackOff"))
}

func TestAnOperatorWithoutRoomIsAskedAgain(t *testing.T) {
	w := newWorld(t).withDatabase()
	w.job(idA, "10.1.2.3", "completed", v1alpha1.LatencyJobStatus{})
	w.measured(idA, 0, 359, 0)
	serving, refused := w.samples.Config.Handler, 0
	w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if refused++; refused < 2 {
			rw.Header().Set("Retry-After", "1")
			http.Error(rw, "The operator has no room.", http.StatusTooManyRequests)
			return
		}
		serving.ServeHTTP(rw, r)
	}))
	got := w.do(w.everything(), "report", idA)
	w.Expect(got.code).To(BeZero(), got.err)
	w.Expect(refused).To(Equal(2))
}

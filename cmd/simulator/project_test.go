package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
)

func freeAddress(g Gomega) (string, int) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = free.Close() }()
	return free.Addr().String(), free.Addr().(*net.TCPAddr).Port
}

func TestStandsInForSupabaseAndPlaysDemoJobs(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_test")
	spreedb, _ := freeAddress(g)
	supabase, _ := freeAddress(g)
	_, port := freeAddress(g)
	opts, err := parse(t, "--listen", spreedb, "--supabase", supabase, "--jobs", fmt.Sprint("--database=", port))
	g.Expect(err).NotTo(HaveOccurred())

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, *opts, logr.Discard()) }()
	get := func(url string) (int, []map[string]any, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return 0, nil, err
		}
		req.Header.Set("apikey", "sb_secret_test")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, nil, err
		}
		defer func() { _ = resp.Body.Close() }()
		var rows []map[string]any
		_ = json.NewDecoder(resp.Body).Decode(&rows) // /healthz has none
		return resp.StatusCode, rows, nil
	}
	g.Eventually(func(g Gomega) {
		status, _, err := get("http://" + spreedb + "/healthz")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(status).To(Equal(http.StatusOK))
		_, rows, err := get("http://" + supabase + "/rest/v1/jobs?select=target_ip,status,monitoring_mode&order=target_ip")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(rows).To(HaveLen(len(scenes)))
		g.Expect(rows[0]).To(HaveKeyWithValue("target_ip", scenes[0].ip))
		for _, row := range rows {
			g.Expect(row).To(HaveKeyWithValue("status", "running"))
			g.Expect(row).To(HaveKeyWithValue("monitoring_mode", "real_polling"))
		}
	}).WithTimeout(20 * time.Second).Should(Succeed())
	stop()
	g.Eventually(ended).WithTimeout(10 * time.Second).Should(Receive(BeNil()))
}

func TestScenesHaveTargetsOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range scenes {
		if seen[s.ip] || net.ParseIP(s.ip) == nil {
			t.Errorf("%q is twice there or no address", s.ip)
		}
		seen[s.ip] = true
		if end := s.minutes * 60; s.addressAfter >= end || s.cancelledAfter >= end {
			t.Errorf("%s is over before it has shown itself", s.ip)
		}
	}
}

func TestDataBeginAsACopyOfTheTemplateAndAreKept(t *testing.T) {
	g := NewWithT(t)
	template, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	g.Expect(os.Mkdir(filepath.Join(template, "base"), 0o755)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(template, "base", "1"), []byte("template"), 0o444)).To(Succeed())
	// What a copy that was cut short leaves.
	g.Expect(os.MkdirAll(filepath.Join(data+".new", "base"), 0o755)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(data+".new", "base", "1"), []byte("temp"), 0o600)).To(Succeed())

	g.Expect(prepareData(data, template)).To(Succeed())
	g.Expect(os.ReadFile(filepath.Join(data, "base", "1"))).To(BeEquivalentTo("template"))
	info, err := os.Stat(data)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(Equal(fs.FileMode(0o700)), "PostgreSQL refuses any other")

	g.Expect(os.WriteFile(filepath.Join(data, "base", "1"), []byte("kept"), 0o600)).To(Succeed(), "the copy can be written to")
	g.Expect(os.WriteFile(filepath.Join(data, "postmaster.pid"), []byte("1"), 0o600)).To(Succeed())
	g.Expect(prepareData(data, template)).To(Succeed())
	g.Expect(os.ReadFile(filepath.Join(data, "base", "1"))).To(BeEquivalentTo("kept"))
	_, err = os.Stat(filepath.Join(data, "postmaster.pid"))
	g.Expect(errors.Is(err, fs.ErrNotExist)).To(BeTrue())
}

// The image's program holds nothing that is made for tests.
func TestTheProgramHoldsNoTestLibraries(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "noembeddedpostgres", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %s", err, out)
	}
	if found := regexp.MustCompile(`(?m)^(testing|net/http/httptest|.*gomega.*|.*embedded-postgres.*|k8s\.io/.*)$`).FindAll(out, -1); found != nil {
		t.Errorf("it holds %s", found)
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// profile takes profiles of the window: of the CPU from now on, and of the heap at its end. Without --profile, or a program that
// serves none, it does nothing. What it returns waits for their end.
func (m *measurement) profile(ctx context.Context) (wait func() error) {
	var all errgroup.Group
	for i, address := range m.program.profiles {
		name := m.load.file()
		if m.load.Replicas > 1 {
			name += fmt.Sprintf("-of-%d", i)
		}
		all.Go(func() error {
			seconds := int(m.opts.Window.Seconds())
			if err := m.fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, seconds), name+"-cpu.pprof"); err != nil {
				return err
			}
			return m.fetch(ctx, "http://"+address+"/debug/pprof/heap", name+"-heap.pprof")
		})
	}
	return all.Wait
}

// fetch writes an answer into a file of the profiles' folder.
func (m *measurement) fetch(ctx context.Context, url, name string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("take a profile: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("take a profile: the operator answered %s", res.Status)
	}
	f, err := os.Create(filepath.Join(m.opts.Profile, name))
	if err != nil {
		return fmt.Errorf("keep a profile: %w", err)
	}
	if _, err := io.Copy(f, res.Body); err != nil {
		_ = f.Close()
		return fmt.Errorf("keep a profile: %w", err)
	}
	return f.Close()
}

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/soundcheck-io/latency-operator/internal/stack"
)

const (
	operatorImage = "ghcr.io/soundcheck-io/latency-operator"
	demoImage     = operatorImage + "-demo"
	consoleImage  = operatorImage + "-console"
	tag           = ":e2e"
)

// settings are the variables of the environment; doc.go has the list.
type settings struct {
	build, load        string
	image, demo, page  string
	overlay, namespace string
	kubectl            string
	keep               bool
	// root is the repository, dir a folder below it for what is generated.
	root, dir string
}

func readSettings(t *testing.T) settings {
	t.Helper()
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	variable := func(name, otherwise string) string {
		if value := os.Getenv(name); value != "" {
			return value
		}
		return otherwise
	}
	s := settings{
		build: variable("E2E_BUILD", variable("CONTAINER_TOOL", "docker")+` build --target "$TARGET" --tag "$IMAGE" .`),
		load:  variable("E2E_LOAD", "true"),
		image: variable("E2E_IMG", operatorImage+tag), demo: variable("E2E_DEMO_IMG", demoImage+tag), page: variable("E2E_CONSOLE_IMG", consoleImage+tag),
		overlay: variable("E2E_OVERLAY", "config/default"), namespace: variable("E2E_NAMESPACE", "latency-operator-e2e"),
		kubectl: variable("KUBECTL", "kubectl"), keep: os.Getenv("E2E_KEEP") != "",
		root: root, dir: filepath.Join(root, "dist", "e2e"),
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

// shell runs a command of the environment in the repository.
func (s settings) shell(ctx context.Context, command string, env ...string) error {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", command)
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return nil
}

// kubectlRun returns what kubectl prints, and apart from that its warnings.
func (s settings) kubectlRun(ctx context.Context, args ...string) (out, warnings string, err error) {
	cmd := exec.CommandContext(ctx, s.kubectl, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.root, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", "", fmt.Errorf("%s %s: %w\n%s", s.kubectl, strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), stderr.String(), nil
}

// kustomize writes a kustomization of a folder below config/ with components, patches, and this test's images and namespace, and
// returns its folder.
func (s settings) kustomize(name, resource string, components []string, patches ...string) (string, error) {
	dir := filepath.Join(s.dir, name)
	var k strings.Builder
	fmt.Fprintf(&k, "namespace: %s\nresources: [../../../%s]\n", s.namespace, resource)
	k.WriteString("components:\n")
	for _, c := range components {
		fmt.Fprintf(&k, "- ../../../config/components/%s\n", c)
	}
	k.WriteString("images:\n")
	for from, to := range map[string]string{operatorImage: s.image, demoImage: s.demo, consoleImage: s.page} {
		name, version := cutTag(to)
		fmt.Fprintf(&k, "- {name: %s, newName: %s, newTag: %q}\n", from, name, version)
	}
	k.WriteString("patches:\n")
	for _, p := range patches {
		fmt.Fprintf(&k, "- %s\n", p)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(k.String()), 0o644)
}

// cutTag parts an image's name from its tag; the name of a registry may hold a colon too.
func cutTag(image string) (name, version string) {
	i := strings.LastIndex(image, ":")
	if i < strings.LastIndex(image, "/") {
		return image, "latest"
	}
	return image[:i], image[i+1:]
}

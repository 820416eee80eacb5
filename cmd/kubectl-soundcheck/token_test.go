package main

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
)

func TestTheTokenIsTheOneThatTheClusterGets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const credential = `echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "of-a-program"}}'`
	for name, c := range map[string]struct {
		config rest.Config
		want   string
	}{
		"a token":   {rest.Config{BearerToken: "of-the-kubeconfig"}, "of-the-kubeconfig"},
		"a file":    {rest.Config{BearerTokenFile: file}, "of-a-file"},
		"a program": {rest.Config{ExecProvider: &api.ExecConfig{Command: "sh", Args: []string{"-c", credential}, APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: api.NeverExecInteractiveMode}}, "of-a-program"},
		// These get a token of the account for people without one.
		"a certificate": {rest.Config{}, ""},
		"a password":    {rest.Config{Username: "me", Password: "secret"}, ""},
		"somebody else": {rest.Config{BearerToken: "of-the-kubeconfig", Impersonate: rest.ImpersonationConfig{UserName: "somebody"}}, ""},
	} {
		if got, err := ownToken(t.Context(), &c.config); err != nil || got != c.want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if got, err := ownToken(t.Context(), &rest.Config{ExecProvider: &api.ExecConfig{Command: "false", APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: api.NeverExecInteractiveMode}}); err == nil {
		t.Errorf("of a program that fails: %q", got)
	}
}

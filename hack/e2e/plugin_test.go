//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// cliUserRole is what a technician is given.
const cliUserRole = "latency-operator-cli-user"

// soundcheck is kubectl soundcheck with a kubeconfig.
type soundcheck struct {
	t                *testing.T
	path, kubeconfig string
	namespace        string
}

// run returns what it prints, and its exit code.
func (p soundcheck) run(args ...string) (out, stderr string, code int) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.path, append([]string{"-n", p.namespace}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig)
	var printed, complained bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &complained
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return printed.String(), complained.String(), cmd.ProcessState.ExitCode()
}

// plugin uses kubectl soundcheck as a technician and as an administrator.
func (s *suite) plugin(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "kubectl-soundcheck")
	if err := stack.Compile(t.Context(), "./cmd/kubectl-soundcheck", path, os.Stderr); err != nil {
		t.Fatal(err)
	}
	technician := soundcheck{t: t, path: path, namespace: s.namespace, kubeconfig: s.technician(t)}

	out, stderr, code := technician.run("list")
	g.Expect(code).To(BeZero(), stderr)
	g.Expect(out).To(ContainSubstring("198.51.100.100"))
	t.Logf("kubectl soundcheck list\n%s", out)

	job := s.jobs.short[0].id
	out, stderr, code = technician.run("report", job)
	g.Expect(code).To(BeZero(), stderr)
	g.Expect(out).To(ContainSubstring("198.51.100.1"))
	t.Logf("kubectl soundcheck report %s\n%s", job, out)
	out, stderr, code = technician.run("report", job, "-o", "json")
	g.Expect(code).To(BeZero(), stderr)
	g.Expect(json.Valid([]byte(out))).To(BeTrue(), out)
	out, stderr, code = technician.run("report", job, "-o", "html")
	g.Expect(code).To(BeZero(), stderr)
	g.Expect(out).To(HavePrefix("<!DOCTYPE html>"))

	// Looking inside the operator's pod takes more.
	_, stderr, code = technician.run("doctor")
	g.Expect(code).NotTo(BeZero())
	t.Logf("a technician gets no doctor: %s", stderr)

	administrator := technician
	administrator.kubeconfig = os.Getenv("KUBECONFIG")
	_, stderr, code = administrator.run("report", job)
	g.Expect(code).To(BeZero(), stderr)
	out, stderr, code = administrator.run("doctor")
	t.Logf("kubectl soundcheck doctor\n%s%s", out, stderr)
	g.Expect(code).To(BeZero(), "the doctor finds nothing wrong")
}

// technician writes the kubeconfig of an account that may use the plugin and nothing else.
func (s *suite) technician(t *testing.T) string {
	t.Helper()
	const name = "e2e-technician"
	_, token := s.account(t, name)
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: cliUserRole},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: s.namespace}},
	}
	if err := s.client.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["e2e"] = &clientcmdapi.Cluster{
		Server: s.config.Host, CertificateAuthority: s.config.CAFile, CertificateAuthorityData: s.config.CAData, InsecureSkipTLSVerify: s.config.Insecure,
	}
	config.AuthInfos["e2e"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["e2e"] = &clientcmdapi.Context{Cluster: "e2e", AuthInfo: "e2e"}
	config.CurrentContext = "e2e"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

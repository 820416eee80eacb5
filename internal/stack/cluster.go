package stack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	// startTimeout is generous: two cores that also compile need most of a minute.
	startTimeout = 90 * time.Second
	stopPatience = 5 * time.Second
)

// cluster is an etcd and a kube-apiserver. It is envtest's ControlPlane rather than its Environment, because that cannot
// be interrupted and leaves files when it is abandoned.
type cluster struct {
	plane  *envtest.ControlPlane
	warden *warden
	config *rest.Config
}

// startAttempts bounds how often a port is taken between being found free and being used.
const startAttempts = 3

// startCluster starts again on other ports when somebody took one of them meanwhile: envtest looks for free ports among
// those that any outgoing connection may get.
func startCluster(ctx context.Context, w *warden, assets, crds string) (c *cluster, err error) {
	for range startAttempts {
		if c, err = tryCluster(ctx, w, assets, crds); err == nil || !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return c, err
}

// tryCluster runs the programs through the warden's wrappers, because envtest has no way to tie them to the life of
// this process.
func tryCluster(ctx context.Context, w *warden, assets, crds string) (*cluster, error) {
	c := &cluster{warden: w, plane: &envtest.ControlPlane{
		Etcd:        &envtest.Etcd{StartTimeout: startTimeout, StopTimeout: stopPatience},
		APIServer:   &envtest.APIServer{StartTimeout: startTimeout, StopTimeout: stopPatience},
		KubectlPath: filepath.Join(assets, "kubectl"),
	}}
	if err := c.place(assets); err != nil {
		return nil, err
	}
	if err := c.start(ctx, crds); err != nil {
		w.killWrapped()
		return nil, err
	}
	return c, nil
}

// place says where the programs are, and where they keep and write what.
func (c *cluster) place(assets string) (err error) {
	etcd, api := c.plane.Etcd, c.plane.APIServer
	if etcd.Path, err = c.warden.wrap(filepath.Join(assets, "etcd")); err != nil {
		return err
	}
	if api.Path, err = c.warden.wrap(filepath.Join(assets, "kube-apiserver")); err != nil {
		return err
	}
	if etcd.DataDir, err = os.MkdirTemp(c.warden.dir, "etcd-"); err != nil {
		return err
	}
	if api.CertDir, err = os.MkdirTemp(c.warden.dir, "certs-"); err != nil {
		return err
	}
	if etcd.Out, err = os.Create(c.log("etcd")); err != nil {
		return err
	}
	if api.Out, err = os.Create(c.log("kube-apiserver")); err != nil {
		return err
	}
	etcd.Err, api.Err = etcd.Out, api.Out
	return nil
}

func (c *cluster) log(program string) string { return filepath.Join(c.warden.dir, program+".log") }

// start does not wait for envtest when ctx ends: that knows no context, and without its programs it gives up by itself.
func (c *cluster) start(ctx context.Context, crds string) error {
	started := make(chan error, 1)
	go func() {
		if err := c.plane.Start(); err != nil {
			started <- fmt.Errorf("start etcd and kube-apiserver: %w (etcd: %s) (kube-apiserver: %s)", err,
				lastLine(c.log("etcd")), lastLine(c.log("kube-apiserver")))
			return
		}
		started <- c.enter(crds)
	}()
	select {
	case err := <-started:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter makes an administrator and installs the CRDs.
func (c *cluster) enter(crds string) error {
	admin, err := c.plane.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, &rest.Config{QPS: -1})
	if err != nil {
		return fmt.Errorf("make an administrator: %w", err)
	}
	c.config = admin.Config()
	if _, err := envtest.InstallCRDs(c.config, envtest.CRDInstallOptions{Paths: []string{crds}, ErrorIfPathMissing: true}); err != nil {
		return fmt.Errorf("install the CRDs of %s: %w", crds, err)
	}
	return nil
}

// ControlPlane gives the ids of the processes etcd and kube-apiserver.
func (s *Stack) ControlPlane() (etcd, apiServer int, err error) {
	if etcd, err = s.warden.pid("etcd"); err != nil {
		return 0, 0, err
	}
	apiServer, err = s.warden.pid("kube-apiserver")
	return etcd, apiServer, err
}

// stop asks first, since that is what a cluster does; but nobody needs the data afterwards.
func (c *cluster) stop() {
	_ = c.plane.Stop() // it kills what does not obey
	c.warden.forgetWrapped()
}

func makeNamespace(ctx context.Context, c client.Client, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := c.Create(ctx, namespace); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("make namespace %s: %w", name, err)
	}
	return nil
}

func writeKubeconfig(path string, config *rest.Config, namespace string) error {
	const name = "stack"
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	kubeconfig.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	kubeconfig.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: namespace}
	kubeconfig.CurrentContext = name
	if err := clientcmd.WriteToFile(*kubeconfig, path); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	return nil
}

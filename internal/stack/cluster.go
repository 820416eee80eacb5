package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// cluster is an etcd and a kube-apiserver.
type cluster struct {
	env    *envtest.Environment
	warden *warden
}

// startCluster runs the programs through the warden's wrappers, because envtest has no way to tie them to the life of
// this process.
func startCluster(ctx context.Context, w *warden, assets, crds string) (*cluster, error) {
	wrapped := map[string]string{}
	for _, program := range []string{"etcd", "kube-apiserver"} {
		path, err := w.wrap(filepath.Join(assets, program))
		if err != nil {
			return nil, err
		}
		wrapped[program] = path
	}
	etcdLog, err := os.Create(filepath.Join(w.dir, "etcd.log"))
	if err != nil {
		return nil, err
	}
	apiLog, err := os.Create(filepath.Join(w.dir, "kube-apiserver.log"))
	if err != nil {
		return nil, err
	}
	certs, data := filepath.Join(w.dir, "certs"), filepath.Join(w.dir, "etcd")
	if err := errors.Join(os.Mkdir(certs, 0o700), os.Mkdir(data, 0o700)); err != nil {
		return nil, err
	}
	existing := false
	c := &cluster{warden: w, env: &envtest.Environment{
		UseExistingCluster: &existing,
		// Paths rather than BinaryAssetsDirectory: KUBEBUILDER_ASSETS would win over that.
		ControlPlane: envtest.ControlPlane{
			Etcd:        &envtest.Etcd{Path: wrapped["etcd"], DataDir: data, Out: etcdLog, Err: etcdLog},
			APIServer:   &envtest.APIServer{Path: wrapped["kube-apiserver"], CertDir: certs, Out: apiLog, Err: apiLog},
			KubectlPath: filepath.Join(assets, "kubectl"),
		},
		CRDDirectoryPaths: []string{crds}, ErrorIfCRDPathMissing: true,
		ControlPlaneStartTimeout: startTimeout, ControlPlaneStopTimeout: stopPatience,
	}}
	if err := c.start(ctx); err != nil {
		w.killWrapped()
		return nil, err
	}
	return c, nil
}

// start does not wait for envtest when ctx ends: that knows no context, and without its programs it gives up by itself
// within ten seconds.
func (c *cluster) start(ctx context.Context) error {
	started := make(chan error, 1)
	go func() {
		_, err := c.env.Start()
		started <- err
	}()
	select {
	case err := <-started:
		return c.explain(err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *cluster) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("start etcd and kube-apiserver: %w (etcd: %s) (kube-apiserver: %s)", err,
		lastLine(filepath.Join(c.warden.dir, "etcd.log")), lastLine(filepath.Join(c.warden.dir, "kube-apiserver.log")))
}

// stop asks first, since that is what a cluster does; but nobody needs the data afterwards.
func (c *cluster) stop() {
	_ = c.env.Stop() // it kills what does not obey
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

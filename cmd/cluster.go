package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/controllers"
	"github.com/soundcheck-io/latency-operator/internal/endpoint"
)

// cluster is where the operator works, and who it is there.
type cluster struct {
	config    *rest.Config
	namespace string
	// identity tells this process from the others that share the jobs and elect who mirrors. A container that restarts in its pod
	// keeps it.
	identity string
	// self is what events about the operator are about: its pod, or the Lease where it runs outside of one.
	self runtime.Object
}

func clusterOf(opts *options) (*cluster, error) {
	if opts.Kubeconfig != "" { // the flag may be a list of files, as the variable may: only the default rules know how
		if err := os.Setenv("KUBECONFIG", opts.Kubeconfig); err != nil {
			return nil, err
		}
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster: set KUBECONFIG, or run the operator in a pod: %w", err)
	}
	c := &cluster{config: config, namespace: opts.Namespace}
	config.UserAgent = "latency-operator/" + buildVersion()
	// The API server has its own fairness; what we send is bounded by the budget of status writes and by the sync's writers.
	config.QPS = -1
	if c.namespace == "" {
		if c.namespace, _, err = loader.Namespace(); err != nil {
			return nil, fmt.Errorf("find the namespace: set POD_NAMESPACE: %w", err)
		}
	}
	pod, uid := os.Getenv("POD_NAME"), os.Getenv("POD_UID")
	if pod != "" {
		c.identity = pod
		c.self = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: pod, UID: types.UID(uid)}}
		return c, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find the name of this machine: %w", err)
	}
	// Without anything random: whoever starts again after a crash goes on with its own Lease. Two on one machine have to be told
	// apart by POD_NAME.
	c.identity = host
	c.self = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: controllers.LeaseName}}
	return c, nil
}

// newScheme knows the types of the cluster and our own.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	return scheme, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
}

// withoutURL takes the URL out of an error of net/http, which says the same at length.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// newManager sets the manager up. The samples of jobs are served beside the metrics, where these are served over TLS and to whoever
// may read them: anywhere else a token could be read on the way, and nobody could be told from anybody.
func newManager(c *cluster, opts *options, database endpoint.Database, clk clock.PassiveClock, log logr.Logger) (ctrl.Manager, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	metrics := metricsserver.Options{BindAddress: opts.MetricsBindAddress, SecureServing: opts.MetricsSecure, CertDir: opts.MetricsCertDir}
	if opts.MetricsSecure {
		keeper, err := newGatekeeper(c.config, c.namespace, log.WithName("samples"))
		if err != nil {
			return nil, err
		}
		samples := endpoint.New(database, keeper.admit, clk, log.WithName("samples"))
		metrics.FilterProvider = filterBut(samples)
		metrics.ExtraHandlers = map[string]http.Handler{endpoint.Pattern: samples}
	}
	mgr, err := ctrl.NewManager(c.config, ctrl.Options{
		Scheme:                 scheme,
		Logger:                 log,
		Metrics:                metrics,
		HealthProbeBindAddress: opts.HealthProbeBindAddress,
		PprofBindAddress:       opts.PprofBindAddress,
		Cache: cache.Options{
			// It restricts the requests to the namespace like DefaultNamespaces, whose cache looks up a mapping in every Get.
			DefaultFieldSelector: fields.OneTermEqualSelector("metadata.namespace", c.namespace),
			DefaultTransform:     controllers.Slim,
			// Nobody changes what the cache gives out, and copying it would be a tenth of the cost of a poll.
			DefaultUnsafeDisableDeepCopy: new(true),
		},
		// An API server that is away at the start is waited for: ending would only mean starting again.
		Controller: config.Controller{CacheSyncTimeout: 365 * 24 * time.Hour},
		// What is left to do at the end is done after the manager has stopped.
		GracefulShutdownTimeout: new(5 * time.Second),
	})
	if err != nil {
		return nil, fmt.Errorf("set up the manager: %w", err)
	}
	return mgr, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

// defaultNamespace is the operator's in all manifests. It is used where neither -n nor the kubeconfig names one.
const defaultNamespace = "latency-operator-system"

// scheme has what is printed.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(s); err != nil {
		panic(err) // the types are compiled in
	}
	return s
}()

// cluster is what the kubeconfig and kubectl's flags lead to.
type cluster struct {
	flags *genericclioptions.ConfigFlags
}

// config is the way to the API server.
func (c *cluster) config() (*rest.Config, error) {
	config, err := c.flags.ToRESTConfig()
	if clientcmd.IsEmptyConfig(err) || err == nil && c.nowhere(config.Host) {
		return nil, errors.New("there is no cluster to ask: log in, or name a kubeconfig with --kubeconfig or KUBECONFIG")
	}
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig cannot be used: %w", err)
	}
	config = rest.CopyConfig(config)
	config.UserAgent = userAgent()
	return config, nil
}

// nowhere tells whether nothing says which cluster is meant. kubectl takes one on this machine then, which is hardly ever there.
func (c *cluster) nowhere(host string) bool {
	raw, err := c.flags.ToRawKubeConfigLoader().RawConfig()
	return err == nil && len(raw.Clusters) == 0 && *c.flags.APIServer == "" && strings.HasSuffix(host, "localhost:8080")
}

// namespace is that of -n, of the current context, or the operator's own.
func (c *cluster) namespace() (string, error) {
	loader := c.flags.ToRawKubeConfigLoader()
	namespace, _, err := loader.Namespace()
	if err != nil {
		return "", fmt.Errorf("the kubeconfig cannot be used: %w", err)
	}
	if *c.flags.Namespace != "" || namespace != metav1.NamespaceDefault {
		return namespace, nil
	}
	raw, err := loader.RawConfig()
	if err != nil {
		return "", fmt.Errorf("the kubeconfig cannot be used: %w", err)
	}
	current := raw.CurrentContext
	if *c.flags.Context != "" {
		current = *c.flags.Context
	}
	if context, ok := raw.Contexts[current]; ok && context.Namespace != "" {
		return namespace, nil
	}
	return defaultNamespace, nil
}

// jobs is a client for LatencyJobs. It asks for nothing else, so that it need not find out what else the cluster has.
func (c *cluster) jobs() (*rest.RESTClient, error) {
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	config.APIPath, config.GroupVersion = "/apis", &v1alpha1.GroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	return rest.RESTClientFor(config)
}

// list gives the LatencyJobs of the namespace.
func (c *cluster) list(ctx context.Context) (*v1alpha1.LatencyJobList, string, error) {
	namespace, err := c.namespace()
	if err != nil {
		return nil, "", err
	}
	client, err := c.jobs()
	if err != nil {
		return nil, "", err
	}
	list := &v1alpha1.LatencyJobList{}
	// Without a resourceVersion the API server need not read from its database: what is a second old is good enough here.
	opts := &metav1.ListOptions{ResourceVersion: "0"}
	err = client.Get().Namespace(namespace).Resource("latencyjobs").VersionedParams(opts, metav1.ParameterCodec).Do(ctx).Into(list)
	if err != nil {
		return nil, "", c.explain(err, "list LatencyJobs", namespace)
	}
	return list, namespace, nil
}

// explain makes a sentence that says what to do of an error of the API server.
func (c *cluster) explain(err error, doing, namespace string) error {
	var network *url.Error
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you may not %s in the namespace %s: name the right one with -n, or ask its administrator for the Role latency-operator-cli-user (%w)",
			doing, namespace, err)
	case apierrors.IsUnauthorized(err):
		return errors.New("the cluster does not accept your credentials: log in again")
	case apierrors.IsNotFound(err) && strings.Contains(err.Error(), "the server could not find the requested resource"):
		return errors.New("this cluster knows no LatencyJobs: install the operator, or choose another cluster with --context")
	case errors.As(err, &network):
		return passing{fmt.Errorf("the cluster cannot be reached: %w", network.Err)}
	}
	err = fmt.Errorf("%s in the namespace %s: %w", doing, namespace, err)
	if refused, ok := errors.AsType[*apierrors.StatusError](err); ok && (refused.ErrStatus.Code >= http.StatusInternalServerError || refused.ErrStatus.Code == http.StatusTooManyRequests) {
		return passing{err}
	}
	return err
}

func userAgent() string { return "kubectl-soundcheck/" + buildVersion() }

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	authenticationv1 "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/endpoint"
)

const (
	// askTimeout is how long the API server may take to say who somebody is, or what they may.
	askTimeout = 5 * time.Second
	// asksPerSecond is how many requests for samples are looked at in a second. Each may ask the API server twice, in the operator's own
	// name: whoever floods it with them must not use up what the operator needs for itself.
	asksPerSecond = 5
)

// gatekeeper asks the API server who a caller is, and whether they may get latencyjobs/samples of the operator's namespace.
type gatekeeper struct {
	namespace string
	log       logr.Logger
	who       authenticator.Request
	may       authorizer.Authorizer
	pace      *rate.Limiter
}

// newGatekeeper gives one that remembers answers for as long as the metrics do: who has a token for a minute, that they may for five,
// that they may not for half a minute.
func newGatekeeper(config *rest.Config, namespace string, log logr.Logger) (*gatekeeper, error) {
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	tokens, err := authenticationv1.NewForConfigAndClient(config, http)
	if err != nil {
		return nil, err
	}
	access, err := authorizationv1.NewForConfigAndClient(config, http)
	if err != nil {
		return nil, err
	}
	// Somebody waits for the answer, and may ask again.
	retry := &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 2}
	who, _, err := authenticatorfactory.DelegatingAuthenticatorConfig{
		Anonymous: &apiserver.AnonymousAuthConfig{Enabled: false}, CacheTTL: time.Minute,
		TokenAccessReviewClient: tokens, TokenAccessReviewTimeout: askTimeout, WebhookRetryBackoff: retry,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("prepare asking who reads samples: %w", err)
	}
	may, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: access, AllowCacheTTL: 5 * time.Minute, DenyCacheTTL: 30 * time.Second, WebhookRetryBackoff: retry,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("prepare asking who may read samples: %w", err)
	}
	return &gatekeeper{namespace: namespace, log: log, who: who, may: may, pace: rate.NewLimiter(asksPerSecond, 4*asksPerSecond)}, nil
}

// admit says why whoever asks may not have the samples of a job.
func (g *gatekeeper) admit(r *http.Request, id string) *endpoint.Refusal {
	if !g.pace.Allow() {
		return &endpoint.Refusal{
			Status: http.StatusTooManyRequests, Again: 2 * time.Second,
			Sentence: fmt.Sprintf("More than %d requests for samples come in a second: ask again in some seconds.", asksPerSecond),
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	caller, known, err := g.who.AuthenticateRequest(r)
	switch {
	case known:
	case unasked(err):
		return g.cannotAsk(err)
	default:
		return &endpoint.Refusal{
			Status:   http.StatusUnauthorized,
			Sentence: "Samples are for whoever says who they are: send a token of this cluster that is still good as a bearer token.",
		}
	}
	decision, why, err := g.may.Authorize(ctx, authorizer.AttributesRecord{
		User: caller.User, Verb: "get", Namespace: g.namespace, APIGroup: v1alpha1.GroupVersion.Group, APIVersion: v1alpha1.GroupVersion.Version,
		Resource: "latencyjobs", Subresource: "samples", Name: id, ResourceRequest: true,
	})
	switch {
	case err != nil:
		return g.cannotAsk(err)
	case decision != authorizer.DecisionAllow:
		g.log.V(1).Info("Somebody may not have samples", "user", caller.User.GetName(), "reason", why)
		return &endpoint.Refusal{
			Status: http.StatusForbidden,
			Sentence: fmt.Sprintf("%s may not read samples: they need the right to get latencyjobs/samples of the group %s in the namespace %s, which the ClusterRole latency-operator-latencyjob-viewer gives.",
				caller.User.GetName(), v1alpha1.GroupVersion.Group, g.namespace),
		}
	}
	return nil
}

// unasked tells whether an error is about asking, and not about the token.
func unasked(err error) bool {
	if several, ok := errors.AsType[utilerrors.Aggregate](err); ok { // it does not look into its errors by itself
		err = errors.Join(several.Errors()...)
	}
	_, network := errors.AsType[*url.Error](err)
	var answer apierrors.APIStatus
	return network || errors.As(err, &answer) || errors.Is(err, context.DeadlineExceeded)
}

// cannotAsk is the answer where the API server does not answer, or not to the operator.
func (g *gatekeeper) cannotAsk(err error) *endpoint.Refusal {
	g.log.Error(err, "Who may have samples could not be found out")
	if apierrors.IsForbidden(err) {
		return &endpoint.Refusal{
			Status:   http.StatusServiceUnavailable,
			Sentence: "The operator may not ask the API server who you are and what you may: bind the ClusterRole latency-operator-metrics-auth to its service account.",
		}
	}
	return &endpoint.Refusal{
		Status: http.StatusServiceUnavailable, Again: 5 * time.Second,
		Sentence: "The operator cannot ask the API server who you are and what you may: ask again in some seconds.",
	}
}

// filterBut is the metrics' own filter, for everything but a handler that looks itself at who asks.
func filterBut(own http.Handler) func(*rest.Config, *http.Client) (metricsserver.Filter, error) {
	return func(config *rest.Config, client *http.Client) (metricsserver.Filter, error) {
		filter, err := filters.WithAuthenticationAndAuthorization(config, client)
		if err != nil {
			return nil, err
		}
		return func(log logr.Logger, handler http.Handler) (http.Handler, error) {
			if handler == own {
				return handler, nil
			}
			return filter(log, handler)
		}, nil
	}
}

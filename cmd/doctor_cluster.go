package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/controllers"
	"github.com/soundcheck-io/latency-operator/internal/doctor"
)

// apiPatience is how long the API server may take for an answer.
const apiPatience = 5 * time.Second

// clusterVisit looks at what the operator needs of its cluster.
type clusterVisit struct {
	*cluster
	client client.Client
	clock  clock.PassiveClock
}

func newClusterVisit(where *cluster, clk clock.PassiveClock) (*clusterVisit, error) {
	config := rest.CopyConfig(where.config)
	config.Timeout = apiPatience
	where.config = config
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client for the API server: %w", err)
	}
	return &clusterVisit{cluster: where, client: c, clock: clk}, nil
}

func (v *clusterVisit) chain() doctor.Chain {
	return doctor.Chain{{Name: "kubernetes", Essential: true, Look: v.reach}, {Name: "crd", Look: v.crd}, {Name: "rbac", Look: v.rbac}, {Name: "leases", Look: v.leases}}
}

func (v *clusterVisit) reach(context.Context) doctor.Finding {
	const allow = "Let the operator's pod reach the API server: a NetworkPolicy has to allow its port, usually 443 or 6443, and where HTTPS_PROXY is set NO_PROXY has to name it."
	found, err := serverVersion(v.config)
	switch {
	case apierrors.IsUnauthorized(err):
		return doctor.Fail("Look at the service account of the pod, or at the user in the kubeconfig.", "the API server at %s does not know who this is", v.config.Host)
	case err != nil:
		return doctor.Fail(allow, "the API server at %s does not answer: %s. Jobs that are known are measured on", v.config.Host, withoutURL(err))
	}
	return doctor.Good("%s at %s; the namespace is %s", found.GitVersion, v.config.Host, v.namespace)
}

func serverVersion(config *rest.Config) (*apiversion.Info, error) {
	c, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return c.ServerVersion()
}

func (v *clusterVisit) crd(ctx context.Context) doctor.Finding {
	var jobs v1alpha1.LatencyJobList
	err := v.client.List(ctx, &jobs, client.InNamespace(v.namespace), client.Limit(1))
	switch {
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		return doctor.Fail("Have an administrator of the cluster install it: kubectl apply -k config/crd", "the cluster does not know LatencyJobs")
	case apierrors.IsForbidden(err):
		return doctor.Good("the cluster knows LatencyJobs; see rbac for who may list them")
	case err != nil:
		return doctor.Fail("Ask again; if it lasts, look at the API server.", "LatencyJobs cannot be listed: %s", withoutURL(err))
	}
	n := int64(len(jobs.Items))
	if jobs.RemainingItemCount != nil {
		n += *jobs.RemainingItemCount
	}
	return doctor.Good("the cluster knows LatencyJobs; there are %d", n)
}

// enoughTargets are more than SpreeDB is asked for.
const enoughTargets = 10

// targets are addresses of running jobs; none where nobody tells.
func (v *clusterVisit) targets(ctx context.Context) []netip.Addr {
	var out []netip.Addr
	for page := ""; len(out) < enoughTargets; {
		var jobs v1alpha1.LatencyJobList
		if err := v.client.List(ctx, &jobs, client.InNamespace(v.namespace), client.Limit(500), client.Continue(page)); err != nil {
			break
		}
		for i := range jobs.Items { // ended ones stay for a day, and may come first
			spec := &jobs.Items[i].Spec
			if address, err := netip.ParseAddr(spec.TargetIP); err == nil && spec.State == v1alpha1.StateRunning && !slices.Contains(out, address) {
				out = append(out, address)
			}
		}
		if page = jobs.Continue; page == "" {
			break
		}
	}
	return out
}

// need is something that the operator does with the API server.
type need struct {
	group, resource, subresource string
	verbs                        []string
	// everywhere tells that it is about the whole cluster. That is only for telling who asks for metrics and samples.
	everywhere bool
}

// needs are what config/rbac gives the operator.
var needs = []need{
	{group: v1alpha1.GroupVersion.Group, resource: "latencyjobs", verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
	{group: v1alpha1.GroupVersion.Group, resource: "latencyjobs", subresource: "status", verbs: []string{"patch"}},
	{group: "coordination.k8s.io", resource: "leases", verbs: []string{"get", "list", "watch", "create", "update", "delete"}},
	{group: "events.k8s.io", resource: "events", verbs: []string{"create", "patch"}},
	{resource: "events", verbs: []string{"create", "patch"}},
	{group: "authentication.k8s.io", resource: "tokenreviews", verbs: []string{"create"}, everywhere: true},
	{group: "authorization.k8s.io", resource: "subjectaccessreviews", verbs: []string{"create"}, everywhere: true},
}

// name is what a need is about, as kubectl auth can-i has it.
func (n *need) name() string {
	name := n.resource
	if n.group != "" {
		name += "." + n.group
	}
	if n.subresource != "" {
		name += "/" + n.subresource
	}
	return name
}

// rbac asks the API server about each verb that the operator uses. Anybody may ask that about themselves.
func (v *clusterVisit) rbac(ctx context.Context) doctor.Finding {
	var reviews []*authorizationv1.SelfSubjectAccessReview
	var names []string
	for i := range needs {
		n := &needs[i]
		namespace := v.namespace
		if n.everywhere {
			namespace = ""
		}
		for _, verb := range n.verbs {
			names = append(names, verb+" "+n.name())
			reviews = append(reviews, &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: n.group, Resource: n.resource, Subresource: n.subresource},
			}})
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, review := range reviews {
		group.Go(func() error { return v.client.Create(ctx, review) })
	}
	if err := group.Wait(); err != nil {
		return doctor.Fail("Ask again; if it lasts, look at the API server.", "the API server does not say what the operator may: %s", withoutURL(err))
	}
	var lacking []string
	for i, review := range reviews {
		if !review.Status.Allowed {
			lacking = append(lacking, names[i])
		}
	}
	return v.judge(lacking, len(reviews))
}

// judge says what it means that rights are lacking. Without those about the whole cluster jobs are measured all the same.
func (v *clusterVisit) judge(lacking []string, all int) doctor.Finding {
	const fix = "Bind the operator's service account to its roles: kubectl apply -k the overlay that it was installed with, or config/rbac."
	switch {
	case len(lacking) == 0:
		return doctor.Good("it may do all %d things that it does", all)
	case !slices.ContainsFunc(lacking, func(name string) bool { return !strings.Contains(name, "reviews.") }):
		// A name of its own: the binding of this name may be another's by now.
		return doctor.Warn(fmt.Sprintf("Have an administrator of the cluster run kubectl create clusterrolebinding latency-operator-metrics-auth-%[1]s --clusterrole=latency-operator-metrics-auth "+
			"--serviceaccount=%[1]s:latency-operator. If it could before, config/default or config/cluster was since applied for another namespace, which takes the binding over.", v.namespace),
			"it may not %s: nobody can be given metrics or samples", strings.Join(lacking, ", "))
	default:
		return doctor.Fail(fix, "in the namespace %s it may not %s", v.namespace, strings.Join(lacking, ", "))
	}
}

func (v *clusterVisit) leases(ctx context.Context) doctor.Finding {
	var all coordinationv1.LeaseList
	if err := v.client.List(ctx, &all, client.InNamespace(v.namespace)); err != nil {
		return doctor.Fail("See rbac.", "who shares the jobs cannot be read: %s", withoutURL(err))
	}
	return presence(&all, v.clock.Now())
}

// presence says what Leases come to.
func presence(all *coordinationv1.LeaseList, now time.Time) doctor.Finding {
	mirrors := "nobody mirrors jobs"
	mirrored := false
	var members, silent []string
	for i := range all.Items {
		lease := &all.Items[i]
		h := controllers.HolderOf(lease)
		switch {
		case h.Identity == "":
			continue
		case lease.Name == controllers.LeaseName:
			if mirrored = !h.Silent(now); mirrored {
				mirrors = h.Identity + " mirrors jobs"
			} else {
				mirrors = fmt.Sprintf("nobody mirrors jobs since %s went silent %s ago", h.Identity, ago(now, h.Renewed))
			}
		case lease.Labels[controllers.MemberLabel] != controllers.MemberValue:
			continue
		case h.Silent(now):
			silent = append(silent, fmt.Sprintf("%s is silent for %s", h.Identity, ago(now, h.Renewed)))
		case !h.Leaves.IsZero() && !h.Leaves.After(now):
			silent = append(silent, fmt.Sprintf("%s has left and delivers what it still has", h.Identity))
		default:
			members = append(members, h.Identity)
		}
	}
	return attendance(mirrors, mirrored, members, silent)
}

// attendance says what it means who is there.
func attendance(mirrors string, mirrored bool, members, silent []string) doctor.Finding {
	found := mirrors
	switch len(members) {
	case 0:
		found += "; no replica measures"
	case 1:
		found += "; " + members[0] + " measures all jobs"
	default:
		found += "; the jobs are shared among " + strings.Join(members, ", ")
	}
	if len(silent) > 0 {
		found += "; " + strings.Join(silent, ", ")
	}
	switch {
	case len(members) == 0:
		return doctor.Fail("Look at the operator's pods and their logs.", "%s", found)
	case !mirrored:
		return doctor.Warn("Another replica takes that over within 15 s. If it lasts, look at rbac and at the logs of the pods.", "%s", found)
	case len(silent) > 0:
		return doctor.Warn("Its jobs are the others' already; jobs that end meanwhile wait for what it has not delivered, at most two minutes. If its pod is there, look at its log.", "%s", found)
	default:
		return doctor.Good("%s", found)
	}
}

func ago(now, then time.Time) time.Duration { return now.Sub(then).Round(time.Second) }

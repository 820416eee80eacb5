package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// completionPatience is how long a shell waits for the cluster.
const completionPatience = 3 * time.Second

// completeFlags completes the values of kubectl's flags.
func (c *cli) completeFlags(root *cobra.Command) {
	complete := func(name string, values func(context.Context) []string) {
		cobra.CheckErr(root.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
			defer cancel()
			return values(ctx), cobra.ShellCompDirectiveNoFileComp
		}))
	}
	complete("namespace", c.cluster.namespaces)
	for flag, of := range map[string]func(*cluster) []string{"context": (*cluster).contexts, "cluster": (*cluster).clusters, "user": (*cluster).users} {
		complete(flag, func(context.Context) []string { return of(c.cluster) })
	}
}

func (c *cluster) namespaces(ctx context.Context) (names []string) {
	config, err := c.config()
	if err != nil {
		return nil
	}
	client, err := corev1.NewForConfig(config)
	if err != nil {
		return nil
	}
	list, err := client.Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names
}

func (c *cluster) contexts() []string {
	raw, _ := c.flags.ToRawKubeConfigLoader().RawConfig() // without one there is nothing to complete
	return sortedKeys(raw.Contexts)
}

func (c *cluster) clusters() []string {
	raw, _ := c.flags.ToRawKubeConfigLoader().RawConfig()
	return sortedKeys(raw.Clusters)
}

func (c *cluster) users() []string {
	raw, _ := c.flags.ToRawKubeConfigLoader().RawConfig()
	return sortedKeys(raw.AuthInfos)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

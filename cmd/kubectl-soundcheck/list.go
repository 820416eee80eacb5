package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

// lister is the command list.
type lister struct {
	*cli
	phases    []string
	target    string
	sortBy    string
	noHeaders bool
	print     *genericclioptions.PrintFlags
}

// phases are what --phase takes.
var phases = []string{
	string(v1alpha1.PhasePending), string(v1alpha1.PhaseWaiting), string(v1alpha1.PhaseRunning), string(v1alpha1.PhaseSuspended),
	string(v1alpha1.PhaseCompleting), string(v1alpha1.PhaseCompleted), string(v1alpha1.PhaseCancelled), string(v1alpha1.PhaseFailed),
}

// orders are what --sort-by takes.
var orders = map[string]func(a, b *v1alpha1.LatencyJob, now time.Time) int{
	"verdict": func(a, b *v1alpha1.LatencyJob, now time.Time) int {
		return cmp.Compare(judge(a, now).rank, judge(b, now).rank)
	},
	"loss":    func(a, b *v1alpha1.LatencyJob, _ time.Time) int { return cmp.Compare(lossOf(b), lossOf(a)) },
	"started": func(*v1alpha1.LatencyJob, *v1alpha1.LatencyJob, time.Time) int { return 0 },
	"target":  func(a, b *v1alpha1.LatencyJob, _ time.Time) int { return addressOf(a).Compare(addressOf(b)) },
	"phase": func(a, b *v1alpha1.LatencyJob, _ time.Time) int {
		return cmp.Compare(slices.Index(phases, string(a.Status.Phase)), slices.Index(phases, string(b.Status.Phase)))
	},
}

func addressOf(job *v1alpha1.LatencyJob) netip.Addr {
	address, _ := netip.ParseAddr(job.Spec.TargetIP) // without one, first
	return address
}

func (c *cli) newList() *cobra.Command {
	l := &lister{cli: c, print: genericclioptions.NewPrintFlags("").WithTypeSetter(scheme)}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List jobs with a verdict, what is in trouble first",
		Long: `List jobs with a verdict, what is in trouble first.

The verdict is from the counts in the status of the LatencyJobs: of a running job, whether its device is silent now, and else how it has
answered so far; of one that is over, what its report says. A job stays in the list for a day after its end.`,
		Example: examples(`
			# What is in trouble comes first
			%[1]s list

			# What runs, by loss
			%[1]s list --phase Running --sort-by loss

			# The jobs of a network, with ids in full, errors and messages
			%[1]s list --target 10.1.0.0/16 -o wide`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return l.run(cmd) },
	}
	cmd.Flags().StringSliceVar(&l.phases, "phase", nil, "Only jobs in these phases, such as Running,Waiting.")
	cmd.Flags().StringVar(&l.target, "target", "", "Only jobs of this IP address, or of this network, such as 10.1.0.0/16.")
	cmd.Flags().StringVar(&l.sortBy, "sort-by", "verdict", "Order: "+strings.Join(sortedKeys(orders), ", ")+"; the newest first within it.")
	cmd.Flags().BoolVar(&l.noHeaders, "no-headers", false, "Leave the first line out.")
	l.print.AddFlags(cmd)
	output := cmd.Flags().Lookup("output")
	output.Usage = strings.Replace(output.Usage, "(", "(wide, ", 1)
	for flag, values := range map[string][]string{"phase": phases, "sort-by": sortedKeys(orders), "output": {"wide", "name", "json", "yaml"}} {
		cobra.CheckErr(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
	}
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("target", cobra.NoFileCompletions))
	return cmd
}

func (l *lister) run(cmd *cobra.Command) error {
	keep, err := l.filter()
	if err != nil {
		return err
	}
	order, ok := orders[l.sortBy]
	if !ok {
		return fmt.Errorf("--sort-by %s is not known: give one of %s", l.sortBy, strings.Join(sortedKeys(orders), ", "))
	}
	format := *l.print.OutputFormat
	var printer printers.ResourcePrinter
	if format != "" && format != "wide" {
		if printer, err = l.print.ToPrinter(); err != nil {
			return err
		}
	}
	list, namespace, err := l.cluster.list(cmd.Context())
	if err != nil {
		return err
	}
	now, all := l.clock.Now(), list.Items
	ids := shortIDs(all)
	list.Items = slices.DeleteFunc(slices.Clone(all), func(j v1alpha1.LatencyJob) bool { return !keep(&j) })
	slices.SortFunc(list.Items, func(a, b v1alpha1.LatencyJob) int { return cmp.Or(order(&a, &b, now), newestFirst(&a, &b)) })
	switch {
	case format == "name": // which is not for lists
		for i := range list.Items {
			if err := printer.PrintObj(&list.Items[i], l.streams.Out); err != nil {
				return err
			}
		}
		return nil
	case printer != nil:
		return printer.PrintObj(list, l.streams.Out)
	case len(all) == 0:
		_, err = fmt.Fprintf(l.streams.ErrOut, "No jobs in the namespace %s. If there should be some, name the right one with -n, or run %s doctor.\n", namespace, program)
		return err
	case len(list.Items) == 0:
		_, err = fmt.Fprintf(l.streams.ErrOut, "None of the %d jobs in the namespace %s is like that.\n", len(all), namespace)
		return err
	}
	table := tableOf(list.Items, ids, now, format == "wide")
	return printers.NewTablePrinter(printers.PrintOptions{Wide: format == "wide", NoHeaders: l.noHeaders}).PrintObj(table, l.streams.Out)
}

// filter makes a function of --phase and --target.
func (l *lister) filter() (func(*v1alpha1.LatencyJob) bool, error) {
	for i, phase := range l.phases {
		known := slices.IndexFunc(phases, func(p string) bool { return strings.EqualFold(p, phase) })
		if known < 0 {
			return nil, fmt.Errorf("--phase %s is not known: give some of %s", phase, strings.Join(phases, ", "))
		}
		l.phases[i] = phases[known]
	}
	network, err := networkOf(l.target)
	if err != nil {
		return nil, err
	}
	return func(job *v1alpha1.LatencyJob) bool {
		address := addressOf(job).Unmap()
		return (len(l.phases) == 0 || slices.Contains(l.phases, string(job.Status.Phase))) &&
			(l.target == "" || address.IsValid() && network.Contains(address))
	}, nil
}

func networkOf(target string) (netip.Prefix, error) {
	if target == "" {
		return netip.Prefix{}, nil
	}
	if network, err := netip.ParsePrefix(target); err == nil {
		return network.Masked(), nil
	}
	address, err := netip.ParseAddr(target)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("--target %s is neither an IP address nor a network: give one as in 10.1.2.3 or 10.1.0.0/16", target)
	}
	address = address.Unmap()
	return netip.PrefixFrom(address, address.BitLen()), nil
}

// shortIDs are as much of each id as tells it from all others, and eight characters at least.
func shortIDs(jobs []v1alpha1.LatencyJob) map[string]string {
	names := make([]string, len(jobs))
	for i := range jobs {
		names[i] = jobs[i].Name
	}
	slices.Sort(names)
	short := make(map[string]string, len(names))
	for i, name := range names {
		n := 8
		for _, neighbour := range []int{i - 1, i + 1} {
			if neighbour >= 0 && neighbour < len(names) {
				n = max(n, common(name, names[neighbour])+1)
			}
		}
		short[name] = name[:min(n, len(name))]
	}
	return short
}

// common is how many bytes two texts begin with together.
func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func tableOf(jobs []v1alpha1.LatencyJob, ids map[string]string, now time.Time, wide bool) *metav1.Table {
	table := &metav1.Table{ColumnDefinitions: []metav1.TableColumnDefinition{
		{Name: "Job"}, {Name: "Target"}, {Name: "Phase"}, {Name: "Verdict"}, {Name: "Loss"}, {Name: "RTT"}, {Name: "Samples"}, {Name: "Started"},
		{Name: "Errors", Priority: 1}, {Name: "Unmeasured", Priority: 1}, {Name: "Every", Priority: 1}, {Name: "For", Priority: 1}, {Name: "Message", Priority: 1},
	}}
	for i := range jobs {
		job := &jobs[i]
		s, id, rtt := &job.Status, ids[job.Name], ""
		if wide {
			id = job.Name
		}
		if s.RTT != nil {
			rtt = s.RTT.Last
		}
		table.Rows = append(table.Rows, metav1.TableRow{
			Cells: []any{
				id, dash(job.Spec.TargetIP), dash(string(s.Phase)), judge(job, now).words, dash(s.Loss), dash(rtt), s.Samples.Total,
				ago(now.Sub(job.Spec.StartedAt.Time)), dash(s.Errors), s.Slots.Unmeasured,
				duration.HumanDuration(time.Duration(job.Spec.CadenceSeconds) * time.Second),
				duration.HumanDuration(time.Duration(job.Spec.DurationMinutes) * time.Minute), s.Message,
			},
			Object: runtime.RawExtension{Object: job},
		})
	}
	return table
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func ago(d time.Duration) string {
	if d < 0 {
		return "in " + duration.HumanDuration(-d)
	}
	return duration.HumanDuration(d) + " ago"
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

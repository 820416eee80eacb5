package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
)

// program is what people type, whichever file they have.
const program = "kubectl soundcheck"

// cli is what the commands share.
type cli struct {
	cluster *cluster
	// supabaseURL is the project to read from in place of the operator; empty for the operator.
	supabaseURL string
	streams     genericiooptions.IOStreams
	clock       clock.Clock
}

func newRoot(streams genericiooptions.IOStreams) *cobra.Command {
	flags := genericclioptions.NewConfigFlags(true)
	c := &cli{cluster: &cluster{flags: flags}, streams: streams, clock: clock.RealClock{}}
	root := &cobra.Command{
		Use:   "kubectl-soundcheck",
		Short: "See what the latency jobs of Sound Check measure",
		Long: `See what the latency jobs of Sound Check measure: which modems are silent or lose packets, a live plot of one, a report with a
plain verdict, a comparison before and after a repair, and what is wrong with the operator itself.

A JOB is the id of a job, the beginning of one, or the IP address of a modem, which stands for its newest job.
Jobs are looked up in the namespace of -n, else in that of the current context, else in ` + defaultNamespace + `.`,
		Example: examples(`
			# Which modems are in trouble
			%[1]s list

			# Watch one
			%[1]s watch 10.1.2.3

			# What a job came to, as a page to hand on
			%[1]s report 0b9c3f0e -o html > report.html`),
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: program},
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              cobra.NoArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetUsageTemplate(usage)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())
	})
	flags.AddFlags(root.PersistentFlags())
	c.completeFlags(root)
	root.AddCommand(c.newList(), c.newWatch(), c.newReport(), c.newCompare(), c.newDoctor(), c.newVersion(), c.newOptions())
	return root
}

// usage is cobra's, with kubectl's way to name the flags that all commands have.
const usage = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}{{if not .HasAvailableSubCommands}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{end}}{{if .HasAvailableSubCommands}}

Use "{{.CommandPath}} [command] --help" for more about a command.{{end}}{{if ne .Name "options"}}
Use "` + program + ` options" for the flags that all commands have, such as -n and --context.{{end}}
`

func (c *cli) newOptions() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "options",
		Short: "List the flags that all commands have",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(c.streams.Out, "These flags, which are kubectl's, can be given to any command:\n\n%s", cmd.InheritedFlags().FlagUsages())
			return err
		},
	}
	return cmd
}

// examples writes the lines of a help text, in which %[1]s is the program, as cobra wants them.
func examples(text string) string {
	text = strings.TrimSpace(fmt.Sprintf(text, program))
	var out []string
	for line := range strings.Lines(text) {
		out = append(out, strings.TrimRight("  "+strings.TrimSpace(line), " "))
	}
	return strings.Join(out, "\n")
}

// exactly wants a number of arguments, and says in a sentence which.
func exactly(n int, want string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return fmt.Errorf("%s: give %s: see %s --help", cmd.CommandPath(), want, cmd.CommandPath())
	}
}

// oneOf checks the value of -o.
func oneOf(value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("-o %s is not known: give one of %s", value, strings.Join(allowed, ", "))
}

// outputFlag adds -o with its values to a command.
func outputFlag(cmd *cobra.Command, value *string, allowed ...string) {
	cmd.Flags().StringVarP(value, "output", "o", allowed[0], "Output format: "+strings.Join(allowed, ", ")+".")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp)))
}

// supabaseFlag adds the way around the operator to a command.
func (c *cli) supabaseFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.supabaseURL, "supabase-url", "", "Read from this Supabase project instead of the operator, with your own rights: "+
		"the app's publishable key in the variable "+keyVariable+", and the token of a user in "+tokenVariable+".")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("supabase-url", cobra.NoFileCompletions))
}

package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// versions is what version prints.
type versions struct {
	Client   string `json:"client"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Operator is the image of the operator's container.
	Operator string `json:"operator,omitempty"`
}

func (c *cli) newVersion() *cobra.Command {
	output, clientOnly := "", false
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and of the operator",
		Example: examples(`
			# Both
			%[1]s version

			# Without asking the cluster
			%[1]s version --client`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf(output, "text", "json"); err != nil {
				return err
			}
			v := versions{Client: buildVersion(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			var failed error
			if !clientOnly {
				var pod *operator
				if pod, failed = c.cluster.operatorPod(cmd.Context(), false); failed == nil {
					v.Operator = pod.image()
				}
			}
			if err := c.printVersions(v, output); err != nil {
				return err
			}
			return failed
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "Print the version of this program alone.")
	outputFlag(cmd, &output, "text", "json")
	return cmd
}

func (c *cli) printVersions(v versions, output string) error {
	if output == "json" {
		encoder := json.NewEncoder(c.streams.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(v)
	}
	fmt.Fprintf(c.streams.Out, "Client:   %s (%s, %s)\n", v.Client, v.Go, v.Platform)
	if v.Operator != "" {
		fmt.Fprintf(c.streams.Out, "Operator: %s\n", v.Operator)
	}
	return nil
}

package e2e

import (
	"os/exec"
	"testing"
)

// TestMakeHandsCommandsOnAsTheyAreWritten: a command that is given as an argument of make, as CONTRIBUTING.md shows it, names variables
// of the shell that runs it. To make, $IMAGE is the variable I with MAGE behind it.
func TestMakeHandsCommandsOnAsTheyAreWritten(t *testing.T) {
	for _, name := range []string{"E2E_BUILD", "E2E_LOAD"} {
		const command = `docker push "$IMAGE"`
		show := exec.Command("make", "--no-print-directory", "--eval=show: ; @printenv "+name, "show", name+"="+command)
		show.Dir = "../.."
		out, err := show.CombinedOutput()
		if err != nil {
			t.Fatalf("make: %v\n%s", err, out)
		}
		if got := string(out); got != command+"\n" {
			t.Errorf("%s arrives as %q, want %q", name, got, command)
		}
	}
}

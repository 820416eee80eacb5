// Package environ prepares the environment from which programs take their settings.
package environ

import (
	"os"
	"strings"
)

// DropEmpty makes a variable that is set to nothing as good as unset, which is what templates leave behind.
func DropEmpty() {
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); value == "" && name != "" {
			_ = os.Unsetenv(name)
		}
	}
}

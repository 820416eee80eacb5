// Package build tells which build of a program runs.
package build

import "runtime/debug"

// Version is the version that was linked in (-X main.version), else that of the module, else dev.
func Version(linked string) string {
	if linked != "" {
		return linked
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

//go:build unix && !linux

package pgtest

import "syscall"

// sysProcAttr cannot ask these systems to end the server with this process.
func sysProcAttr(user *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if user != nil {
		attr.Credential = &syscall.Credential{Uid: user.uid, Gid: user.gid}
	}
	return attr
}

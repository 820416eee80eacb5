package pgtest

import "syscall"

// sysProcAttr has the server end with this process, but not by the Ctrl-C that is meant for it: whoever stops this process
// may have something to store before.
func sysProcAttr(user *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: crashSignal, Setpgid: true}
	if user != nil {
		attr.Credential = &syscall.Credential{Uid: user.uid, Gid: user.gid}
	}
	return attr
}

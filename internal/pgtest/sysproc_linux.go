package pgtest

import "syscall"

func sysProcAttr(user *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: crashSignal}
	if user != nil {
		attr.Credential = &syscall.Credential{Uid: user.uid, Gid: user.gid}
	}
	return attr
}

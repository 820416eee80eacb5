package scc

import (
	securityv1 "github.com/openshift/api/security/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// standardConstraints are those that every cluster has; without one of them, nothing is admitted. The source for restricted-v2,
// restricted and anyuid is bindata/bootkube/scc-manifests of github.com/openshift/cluster-kube-apiserver-operator. The others
// are here by their names: nobody in these tests may use them.
func standardConstraints() []*securityv1.SecurityContextConstraints {
	v2 := constraint("restricted-v2")
	v2.RequiredDropCapabilities = []corev1.Capability{"ALL"}
	v2.AllowedCapabilities = []corev1.Capability{"NET_BIND_SERVICE"}
	v2.AllowPrivilegeEscalation = new(false)
	v2.SeccompProfiles = []string{"runtime/default"}
	v2.RunAsUser.Type = securityv1.RunAsUserStrategyMustRunAsRange
	v2.FSGroup.Type = securityv1.FSGroupStrategyMustRunAs

	v1 := constraint("restricted")
	v1.RequiredDropCapabilities = []corev1.Capability{"KILL", "MKNOD", "SETUID", "SETGID"}
	v1.RunAsUser.Type = securityv1.RunAsUserStrategyMustRunAsRange
	v1.FSGroup.Type = securityv1.FSGroupStrategyMustRunAs

	anyuid := constraint("anyuid")
	anyuid.Priority = new(int32(10))
	anyuid.RequiredDropCapabilities = []corev1.Capability{"MKNOD"}

	// And one that an administrator made.
	own := constraint("of-our-own")
	own.Priority = new(int32(20))
	own.SeccompProfiles = []string{"runtime/default"}

	out := []*securityv1.SecurityContextConstraints{v2, v1, anyuid, own}
	for _, name := range []string{"hostaccess", "hostmount-anyuid", "hostnetwork", "hostnetwork-v2", "nonroot", "nonroot-v2", "privileged"} {
		out = append(out, constraint(name))
	}
	return out
}

// constraint is what restricted-v2, restricted and anyuid have in common.
func constraint(name string) *securityv1.SecurityContextConstraints {
	return &securityv1.SecurityContextConstraints{
		ObjectMeta:               metav1.ObjectMeta{Name: name},
		AllowPrivilegeEscalation: new(true),
		RunAsUser:                securityv1.RunAsUserStrategyOptions{Type: securityv1.RunAsUserStrategyRunAsAny},
		SELinuxContext:           securityv1.SELinuxContextStrategyOptions{Type: securityv1.SELinuxStrategyMustRunAs},
		FSGroup:                  securityv1.FSGroupStrategyOptions{Type: securityv1.FSGroupStrategyRunAsAny},
		SupplementalGroups:       securityv1.SupplementalGroupsStrategyOptions{Type: securityv1.SupplementalGroupsStrategyRunAsAny},
		Volumes: []securityv1.FSType{
			securityv1.FSTypeConfigMap, securityv1.FSTypeCSI, securityv1.FSTypeDownwardAPI, securityv1.FSTypeEmptyDir, securityv1.FSTypeEphemeral,
			securityv1.FSTypePersistentVolumeClaim, securityv1.FSProjected, securityv1.FSTypeSecret,
		},
	}
}

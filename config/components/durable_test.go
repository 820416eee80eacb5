// Package components tests the kustomize components of this folder.
package components

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// build gives what kustomize makes of a folder of config.
func build(g Gomega, t *testing.T, folder string) []unstructured.Unstructured {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../../hack/tools/go.mod", "kustomize", "build", "../"+folder)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	g.Expect(err).NotTo(HaveOccurred(), "%s", &errs)
	g.Expect(errs.String()).To(BeEmpty(), "no warnings")
	var objects []unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(out), 4096)
	for {
		var object unstructured.Unstructured
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		g.Expect(err).NotTo(HaveOccurred())
		objects = append(objects, object)
	}
}

// takeWorkload splits off the one object that runs pods.
func takeWorkload(g Gomega, objects []unstructured.Unstructured, into runtime.Object) (others []unstructured.Unstructured) {
	i := slices.IndexFunc(objects, func(o unstructured.Unstructured) bool { return o.GroupVersionKind().Group == appsv1.GroupName })
	g.Expect(i).To(BeNumerically(">=", 0))
	g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(objects[i].Object, into, true)).To(Succeed())
	others = slices.Delete(slices.Clone(objects), i, i+1)
	for _, o := range others {
		g.Expect(o.GroupVersionKind().Group).NotTo(BeElementOf(appsv1.GroupName, "batch"), "%s %s", o.GetKind(), o.GetName())
		g.Expect(o.GetKind()).NotTo(Equal("Pod"))
	}
	return others
}

func TestDurableIsTheDeploymentWithAClaim(t *testing.T) {
	for _, c := range []struct {
		plain, durable string
		fsGroup        *int64
	}{
		{"default", "overlays/durable", new(int64(65532))},
		{"overlays/openshift", "overlays/openshift-durable", nil}, // restricted-v2 refuses one that is not its own
	} {
		t.Run(c.durable, func(t *testing.T) {
			g := NewWithT(t)
			var deployment appsv1.Deployment
			others := takeWorkload(g, build(g, t, c.plain), &deployment)
			var set appsv1.StatefulSet
			g.Expect(takeWorkload(g, build(g, t, c.durable), &set)).To(Equal(others), "everything else is as it was")
			g.Expect(set.Kind).To(Equal("StatefulSet"))
			g.Expect(set.Name).To(Equal(deployment.Name))
			g.Expect(set.Namespace).To(Equal(deployment.Namespace))
			g.Expect(set.Labels).To(Equal(deployment.Labels))
			g.Expect(set.Spec.Replicas).To(Equal(deployment.Spec.Replicas))
			g.Expect(set.Spec.Selector).To(Equal(deployment.Spec.Selector))

			spec := &set.Spec.Template.Spec
			g.Expect(spec.SecurityContext.FSGroup).To(Equal(c.fsGroup))
			g.Expect(spec.SecurityContext.RunAsUser).To(BeNil())
			spec.SecurityContext.FSGroup, spec.SecurityContext.FSGroupChangePolicy = nil, nil
			volumes := &deployment.Spec.Template.Spec.Volumes
			*volumes = slices.DeleteFunc(*volumes, func(v corev1.Volume) bool { return v.Name == "spool" && v.EmptyDir != nil })
			g.Expect(set.Spec.Template).To(Equal(deployment.Spec.Template), "the pod is the same but for the volume")

			g.Expect(set.Spec.VolumeClaimTemplates).To(HaveLen(1))
			claim := set.Spec.VolumeClaimTemplates[0]
			g.Expect(claim.Name).To(Equal("spool"))
			g.Expect(claim.Spec.AccessModes).To(ConsistOf(corev1.ReadWriteOnce))
			g.Expect(claim.Spec.StorageClassName).To(BeNil())
			g.Expect(spec.Containers[0].VolumeMounts).To(ContainElement(corev1.VolumeMount{Name: "spool", MountPath: "/var/spool/soundcheck"}))
			g.Expect(others).To(ContainElement(HaveField("GetName()", set.Spec.ServiceName)), "the service")
			g.Expect(set.Spec.PersistentVolumeClaimRetentionPolicy).To(HaveValue(Equal(appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenDeleted: appsv1.RetainPersistentVolumeClaimRetentionPolicyType, WhenScaled: appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
			})))
		})
	}
}

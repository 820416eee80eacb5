package scc

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// podOf is the operator's pod of a folder of config with components, as its controller makes it.
func podOf(t *testing.T, resource string, components ...string) *corev1.Pod {
	t.Helper()
	return podNamed(t, "latency-operator", resource, components...)
}

// podNamed is the pod of the controller with a name.
func podNamed(t *testing.T, name, resource string, components ...string) *corev1.Pod {
	t.Helper()
	g := NewWithT(t)
	var pod *corev1.Pod
	for _, object := range build(t, resource, components...) {
		if object.GetName() != name {
			continue
		}
		to := func(into runtime.Object) {
			g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, into, true)).To(Succeed())
		}
		var template corev1.PodTemplateSpec
		switch object.GetKind() {
		case "Deployment":
			var deployment appsv1.Deployment
			to(&deployment)
			template = deployment.Spec.Template
		case "StatefulSet":
			var set appsv1.StatefulSet
			to(&set)
			template = set.Spec.Template
			for _, claim := range set.Spec.VolumeClaimTemplates {
				volume := corev1.Volume{Name: claim.Name}
				volume.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name + "-" + set.Name + "-0"}
				template.Spec.Volumes = append(template.Spec.Volumes, volume)
			}
		default:
			continue
		}
		g.Expect(pod).To(BeNil(), "one kind of pods")
		pod = &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	}
	g.Expect(pod).NotTo(BeNil())
	return pod
}

// build is what kustomize makes of them.
func build(t *testing.T, resource string, components ...string) []unstructured.Unstructured {
	t.Helper()
	g := NewWithT(t)
	folder, err := filepath.EvalSymlinks(t.TempDir())
	g.Expect(err).NotTo(HaveOccurred())
	config, err := filepath.Abs("../../../config")
	g.Expect(err).NotTo(HaveOccurred())
	relative, err := filepath.Rel(folder, config)
	g.Expect(err).NotTo(HaveOccurred())
	text := "resources:\n- " + filepath.Join(relative, resource) + "\ncomponents:\n"
	for _, component := range components {
		text += "- " + filepath.Join(relative, "components", component) + "\n"
	}
	g.Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600)).To(Succeed())
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../go.mod", "kustomize", "build", folder)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	g.Expect(err).NotTo(HaveOccurred(), "%s", &errs)
	var objects []unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(out), 4096); ; {
		var object unstructured.Unstructured
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		g.Expect(err).NotTo(HaveOccurred())
		objects = append(objects, object)
	}
}

// restricted tells what PodSecurity restricted has against a pod.
func restricted(pod *corev1.Pod) (reasons []string) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		return []string{err.Error()}
	}
	for _, result := range evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			reasons = append(reasons, result.ForbiddenReason+": "+result.ForbiddenDetail)
		}
	}
	return reasons
}

package components

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// kustomization is one as somebody writes it who installs the operator. Folders are below config; what begins with a slash
// is another kustomization of the test's.
type kustomization struct {
	namespace  string
	resources  []string
	components []string
	more       string
}

// write gives the folder that it is in.
func (k kustomization) write(g Gomega, t *testing.T) string {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	g.Expect(err).NotTo(HaveOccurred())
	config, err := filepath.Abs("..")
	g.Expect(err).NotTo(HaveOccurred())
	list := func(name, below string, entries []string) string {
		var out strings.Builder
		for _, entry := range entries {
			if !filepath.IsAbs(entry) {
				entry = filepath.Join(config, below, entry)
			}
			relative, err := filepath.Rel(folder, entry)
			g.Expect(err).NotTo(HaveOccurred())
			out.WriteString("- " + relative + "\n")
		}
		return name + ":\n" + out.String()
	}
	text := list("resources", "", k.resources) + list("components", "components", k.components) + k.more
	if k.namespace != "" {
		text = "namespace: " + k.namespace + "\n" + text
	}
	g.Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600)).To(Succeed())
	return folder
}

// build gives what kustomize makes of it.
func (k kustomization) build(g Gomega, t *testing.T) []unstructured.Unstructured {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), k.write(g, t))
	g.Expect(err).NotTo(HaveOccurred())
	objects := make([]unstructured.Unstructured, 0, built.Size())
	for _, resource := range built.Resources() {
		object, err := resource.Map()
		g.Expect(err).NotTo(HaveOccurred())
		objects = append(objects, unstructured.Unstructured{Object: object})
	}
	return objects
}

// find gives the one object of a kind and name.
func find(g Gomega, objects []unstructured.Unstructured, kind, name string, into any) {
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, into, true)).To(Succeed())
			return
		}
	}
	g.Expect(name).To(BeEmpty(), "there is no %s of this name", kind)
}

// podTemplate is that of the Deployment or the StatefulSet, whichever there is, with the claims that the latter adds.
func podTemplate(g Gomega, objects []unstructured.Unstructured) corev1.PodTemplateSpec {
	for _, o := range objects {
		if o.GetName() != "latency-operator" {
			continue
		}
		switch o.GetKind() {
		case "Deployment":
			var deployment appsv1.Deployment
			find(g, objects, "Deployment", "latency-operator", &deployment)
			return deployment.Spec.Template
		case "StatefulSet":
			var set appsv1.StatefulSet
			find(g, objects, "StatefulSet", "latency-operator", &set)
			for _, claim := range set.Spec.VolumeClaimTemplates {
				g.Expect(claim.Labels).To(BeEmpty(), "what a release changes must not be here: it cannot be changed")
				volume := corev1.Volume{Name: claim.Name}
				volume.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name + "-" + set.Name + "-0"}
				set.Spec.Template.Spec.Volumes = append(set.Spec.Template.Spec.Volumes, volume)
			}
			return set.Spec.Template
		}
	}
	g.Expect(objects).To(BeEmpty(), "nothing runs pods")
	return corev1.PodTemplateSpec{}
}

// names lists the objects as KIND/NAME.
func names(objects []unstructured.Unstructured) []string {
	out := make([]string, 0, len(objects))
	for _, o := range objects {
		out = append(out, o.GetKind()+"/"+o.GetName())
	}
	return out
}

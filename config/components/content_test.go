package components

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"golang.org/x/net/http/httpproxy"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// TestTheProxyIsForSupabaseOnly resolves the variables as the kubelet does and asks net/http's own rules whom they concern.
func TestTheProxyIsForSupabaseOnly(t *testing.T) {
	g := NewWithT(t)
	pod := podTemplate(g, kustomization{resources: []string{"default"}, components: []string{"egress-proxy"}}.build(g, t)).Spec
	settings := map[string]string{"HTTPS_PROXY": "http://proxy.corp.example:3128", "NO_PROXY": ".cluster.local,.svc,10.0.0.0/16"}
	environment := map[string]string{"KUBERNETES_SERVICE_HOST": "172.30.0.1"} // outside of what NO_PROXY lists
	for _, variable := range pod.Containers[0].Env {
		if from := variable.ValueFrom; from != nil && from.SecretKeyRef != nil && from.SecretKeyRef.Name == "latency-operator-proxy" {
			value, set := settings[from.SecretKeyRef.Key]
			g.Expect(set || *from.SecretKeyRef.Optional).To(BeTrue(), variable.Name)
			if set {
				environment[variable.Name] = value
			}
			continue
		}
		value := variable.Value
		for name, is := range environment {
			value = strings.ReplaceAll(value, "$("+name+")", is)
		}
		g.Expect(value).NotTo(ContainSubstring("$("), "%s names what comes before it", variable.Name)
		environment[variable.Name] = value
	}
	rules := (&httpproxy.Config{HTTPProxy: environment["HTTP_PROXY"], HTTPSProxy: environment["HTTPS_PROXY"], NoProxy: environment["NO_PROXY"]}).ProxyFunc()
	for target, proxy := range map[string]string{
		"https://your-project.supabase.co/rest/v1/jobs": "http://proxy.corp.example:3128",
		"https://172.30.0.1:443/api":                    "",
		"https://kubernetes.default.svc/api":            "",
		"https://10.0.1.2/":                             "",
	} {
		parsed, err := url.Parse(target)
		g.Expect(err).NotTo(HaveOccurred())
		through, err := rules(parsed)
		g.Expect(err).NotTo(HaveOccurred())
		if proxy == "" {
			g.Expect(through).To(BeNil(), target)
		} else {
			g.Expect(through).To(HaveField("String()", proxy), target)
		}
	}

	bundle := environment["SUPABASE_CA_FILE"]
	mount := slices.IndexFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return strings.HasPrefix(bundle, m.MountPath+"/") })
	g.Expect(mount).To(BeNumerically(">=", 0))
	g.Expect(pod.Containers[0].VolumeMounts[mount].SubPath).To(BeEmpty(), "what is mounted by its name is never renewed")
	volume := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == pod.Containers[0].VolumeMounts[mount].Name })
	g.Expect(pod.Volumes[volume].ConfigMap.Optional).To(HaveValue(BeTrue()))
}

// TestTheTrustedBundleIsLeftToOpenShift checks the ConfigMap into which others write.
func TestTheTrustedBundleIsLeftToOpenShift(t *testing.T) {
	g := NewWithT(t)
	for component, mark := range map[string]string{"egress-proxy": "trusted-ca", "monitoring-openshift": "service-ca"} {
		var bundle corev1.ConfigMap
		find(g, kustomization{resources: []string{"default"}, components: []string{component}}.build(g, t), "ConfigMap", "latency-operator-"+mark, &bundle)
		g.Expect(bundle.Data).To(BeEmpty())
		_, trusted := bundle.Labels["config.openshift.io/inject-trusted-cabundle"]
		_, service := bundle.Annotations["service.beta.openshift.io/inject-cabundle"]
		g.Expect(trusted).To(Equal(mark == "trusted-ca"))
		g.Expect(service).To(Equal(mark == "service-ca"), "never both on one")
	}
}

// TestThePolicyKnowsEveryPort compares the policy with the ports that the pod has and the addresses that it asks.
func TestThePolicyKnowsEveryPort(t *testing.T) {
	g := NewWithT(t)
	objects := kustomization{resources: []string{"default"}, components: []string{"network-policy"}}.build(g, t)
	var policy networkingv1.NetworkPolicy
	find(g, objects, "NetworkPolicy", "latency-operator", &policy)
	var in, out []int
	for _, rule := range policy.Spec.Ingress {
		for _, port := range rule.Ports {
			in = append(in, port.Port.IntValue())
		}
	}
	for _, rule := range policy.Spec.Egress {
		for _, port := range rule.Ports {
			if *port.Protocol == corev1.ProtocolTCP {
				out = append(out, port.Port.IntValue())
			}
		}
	}
	var listens []int
	for _, port := range podTemplate(g, objects).Spec.Containers[0].Ports {
		listens = append(listens, int(port.ContainerPort))
	}
	g.Expect(in).To(ConsistOf(listens))
	g.Expect(out).To(ConsistOf(53, 5353, 443, 6443, 4402, 8000))
}

// TestPrometheusIsToldWhatOpenShiftAllows checks the ServiceMonitor with and without a service CA.
func TestPrometheusIsToldWhatOpenShiftAllows(t *testing.T) {
	for component, base := range map[string]string{"monitoring": "default", "monitoring-openshift": "overlays/openshift"} {
		t.Run(component, func(t *testing.T) {
			g := NewWithT(t)
			objects := kustomization{resources: []string{base}, components: []string{component}}.build(g, t)
			var monitor monitoringv1.ServiceMonitor
			find(g, objects, "ServiceMonitor", "latency-operator", &monitor)
			endpoint := monitor.Spec.Endpoints[0]
			g.Expect(endpoint.Scheme).To(HaveValue(BeEquivalentTo("https")))
			g.Expect(endpoint.BearerTokenFile).To(BeEmpty(), "user-workload monitoring drops a ServiceMonitor that names files") //nolint:staticcheck // deprecated, and that it is not used is the point
			g.Expect(endpoint.TLSConfig.CAFile).To(BeEmpty())
			var token corev1.Secret
			find(g, objects, "Secret", endpoint.Authorization.Credentials.Name, &token)
			g.Expect(token.Type).To(Equal(corev1.SecretTypeServiceAccountToken))
			g.Expect(names(objects)).To(ContainElement("ServiceAccount/" + token.Annotations[corev1.ServiceAccountNameKey]))
			if component == "monitoring" {
				return
			}
			g.Expect(endpoint.TLSConfig.InsecureSkipVerify).To(BeNil())
			var service corev1.Service
			find(g, objects, "Service", "latency-operator-metrics", &service)
			g.Expect(endpoint.TLSConfig.ServerName).To(HaveValue(Equal(service.Name + "." + service.Namespace + ".svc")))
			g.Expect(service.Annotations).To(HaveKey("service.beta.openshift.io/serving-cert-secret-name"))
			var bundle corev1.ConfigMap
			find(g, objects, "ConfigMap", endpoint.TLSConfig.CA.ConfigMap.Name, &bundle)
			g.Expect(endpoint.TLSConfig.CA.ConfigMap.Key).To(Equal("service-ca.crt"))
		})
	}
}

// TestTheConsoleFindsItsDashboard checks what an administrator adds to OpenShift's own namespace.
func TestTheConsoleFindsItsDashboard(t *testing.T) {
	g := NewWithT(t)
	objects := kustomization{resources: []string{"components/console-dashboard"}}.build(g, t)
	g.Expect(names(objects)).To(ConsistOf("ConfigMap/latency-operator-dashboard"))
	var dashboard corev1.ConfigMap
	find(g, objects, "ConfigMap", "latency-operator-dashboard", &dashboard)
	g.Expect(dashboard.Namespace).To(Equal("openshift-config-managed"))
	g.Expect(dashboard.Labels).To(And(HaveKeyWithValue("console.openshift.io/dashboard", "true"), HaveKeyWithValue("app.kubernetes.io/part-of", "sound-check")))
	g.Expect(dashboard.Data).To(HaveKeyWithValue("latency-operator.json", ContainSubstring(`"rows"`)), "the old format, which is all that the console reads")
}

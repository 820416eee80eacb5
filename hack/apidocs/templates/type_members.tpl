{{- define "type_members" -}}
{{- /* A line that ends a sentence, or begins a list, is a line here too; the others are only wrapped. */ -}}
{{- if eq .Name "metadata" -}}
As in every Kubernetes object. The name is the job's id.
{{- else -}}
{{ regexReplaceAll "([^.:\n])\n" .Doc "${1} " | markdownRenderFieldDoc }}
{{- end -}}
{{- end -}}

{{- define "gvDetails" }}
Group and version `{{ .GroupVersionString }}`, namespaced, plural `latencyjobs`, short `lj`. `kubectl explain latencyjob.status` says the same in the terminal.
Instants are UTC to the microsecond, durations strings such as `12.345ms`, shares strings such as `0.28%`.
{{ range .SortedKinds }}{{ template "type" ($.TypeForKind .) }}{{ end -}}
{{ range .SortedTypes }}{{ if not .GVK }}{{ template "type" . }}{{ end }}{{ end -}}
{{- end -}}

{{- /* The chart's rule files by their names. %name% in them is a threshold: that of the values, or that of
files/thresholds.yml. A whole number is written as one, whatever Helm makes of it. */}}
{{- define "vastai-exporter.rules" -}}
{{- $settings := .Values.prometheusRule }}
{{- $thresholds := dict }}
{{- range $name, $threshold := fromYaml (.Files.Get "files/thresholds.yml") }}
{{- $_ := set $thresholds $name $threshold.value }}
{{- end }}
{{- $bases := dict "runbook_base" (trimSuffix "/" $settings.runbookBase) "grafana_base" (trimSuffix "/" $settings.grafanaBase) }}
{{- $thresholds = merge (dict) $bases $settings.thresholds $thresholds }}
{{- $files := dict }}
{{- range $path, $_ := .Files.Glob "files/rules/*.yml" }}
{{- $text := $.Files.Get $path }}
{{- range $name, $value := $thresholds }}
{{- if kindIs "float64" $value }}
{{- $value = ternary (int64 $value | toString) (toString $value) (eq (floor $value) $value) }}
{{- end }}
{{- $text = replace (printf "%%%s%%" $name) (toString $value) $text }}
{{- end }}
{{- $_ := set $files (base $path) $text }}
{{- end }}
{{- toJson $files }}
{{- end }}

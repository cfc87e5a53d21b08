{{- /* The chart's rule files by name. %name% in them stands for a threshold from the values, or else from
files/thresholds.yml. Whole numbers stay whole, although Helm parses them as floats. */}}
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

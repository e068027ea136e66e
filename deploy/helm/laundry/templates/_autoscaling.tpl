{{/* What `autoscaling` says of a process, of {root, service}; nothing where it is not scaled. */}}
{{- define "laundry.scaled" -}}
{{- if .root.Values.autoscaling.by -}}
{{- with index .root.Values.autoscaling.services .service -}}
{{ toYaml . }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Up at once, down one at a time: a pod that ends finishes what it reads, and the others have its queue. */}}
{{- define "laundry.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
scaleDown:
  stabilizationWindowSeconds: {{ .Values.autoscaling.quietSeconds }}
  policies:
    - {type: Pods, value: 1, periodSeconds: 60}
{{- end -}}

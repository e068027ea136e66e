{{/*
Authorities beside the public ones, of {root, broker}: before a pod starts, all of them are put into one file that every
library is told to trust. With `broker` that of the cluster's own broker is among them; a migration runs before it is there.
*/}}
{{- define "laundry.trustSources" -}}
{{- $ca := .root.Values.ca -}}
{{- if $ca.configMap }}
- configMap: {name: {{ $ca.configMap | quote }}, items: [{key: {{ $ca.key | quote }}, path: given.crt}]}
{{- end }}
{{- if $ca.secret }}
- secret: {name: {{ $ca.secret | quote }}, items: [{key: {{ $ca.key | quote }}, path: given.crt}]}
{{- end }}
{{- if and .broker .root.Values.rabbitmq.enabled .root.Values.rabbitmq.tls.enabled }}
- secret: {name: {{ include "laundry.brokerSecret" .root | quote }}, items: [{key: ca.crt, path: broker.crt}]}
{{- end }}
{{- end -}}

{{- define "laundry.brokerSecret" -}}
{{ .Values.rabbitmq.tls.secret | default (printf "%s-rabbitmq-tls" .Release.Name) }}
{{- end -}}

{{/* Of {root, image, broker}. */}}
{{- define "laundry.trustInit" -}}
{{- if include "laundry.trustSources" . -}}
- name: authorities
  image: {{ include "laundry.image" . }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [python, -m, laundry_service.authorities, /run/authorities, /run/trusted/ca.crt]
  securityContext:
    {{- include "laundry.containerSecurity" .root | nindent 4 }}
  resources:
    requests: {cpu: 10m, memory: 32Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: authorities, mountPath: /run/authorities, readOnly: true}
    - {name: trusted, mountPath: /run/trusted}
{{- end -}}
{{- end -}}

{{/* And how much of it a connection to a database asks for. */}}
{{- define "laundry.trustEnvironment" -}}
{{- with .root.Values.database.sslMode }}
- name: PGSSLMODE
  value: {{ . }}
{{- end }}
{{- if include "laundry.trustSources" . -}}
{{- range $name := list "SSL_CERT_FILE" "PGSSLROOTCERT" "AWS_CA_BUNDLE" }}
- name: {{ $name }}
  value: /run/trusted/ca.crt
{{- end }}
{{- end -}}
{{- end -}}

{{- define "laundry.trustMount" -}}
{{- if include "laundry.trustSources" . -}}
- {name: trusted, mountPath: /run/trusted, readOnly: true}
{{- end -}}
{{- end -}}

{{- define "laundry.trustVolumes" -}}
{{- with include "laundry.trustSources" . -}}
- name: authorities
  projected:
    sources:
      {{- . | nindent 6 }}
- name: trusted
  emptyDir:
    sizeLimit: 4Mi
{{- end -}}
{{- end -}}

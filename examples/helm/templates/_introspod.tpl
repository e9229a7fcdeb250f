{{/*
introspod's standard variables for one container, which the kubelet fills in. Copy this file into your chart's
templates, and include it first under a container's `env`, so that the container's own variables may refer to these:

    env:
      {{- include "introspod.env" (dict "root" $ "kind" "Deployment" "name" "web" "container" "app"
            "resources" .Values.resources "otel" true) | trim | nindent 6 }}

kind and name are the workload's. A limit of 0 is none, and the kubelet would tell the node's size for it. For a
StatefulSet POD_ORDINAL is added (Kubernetes 1.28).
*/}}
{{- define "introspod.env" -}}
{{- range $variable, $field := dict
      "POD_NAME" "metadata.name" "POD_NAMESPACE" "metadata.namespace" "POD_UID" "metadata.uid"
      "NODE_NAME" "spec.nodeName" "SERVICE_ACCOUNT" "spec.serviceAccountName"
      "POD_IP" "status.podIP" "POD_IPS" "status.podIPs" "HOST_IP" "status.hostIP" }}
- name: {{ $variable }}
  valueFrom:
    fieldRef:
      fieldPath: {{ $field }}
{{- end }}
{{- if eq .kind "StatefulSet" }}
- name: POD_ORDINAL
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
{{- end }}
{{- $resources := .resources | default dict }}
{{- range list
      (list "CONTAINER_CPU_LIMIT_MILLICORES" "limits" "cpu" "1m")
      (list "CONTAINER_MEMORY_LIMIT_KIBIBYTES" "limits" "memory" "1Ki")
      (list "CONTAINER_CPU_REQUEST_MILLICORES" "requests" "cpu" "1m")
      (list "CONTAINER_MEMORY_REQUEST_KIBIBYTES" "requests" "memory" "1Ki") }}
{{- $quantity := get (get $resources (index . 1) | default dict) (index . 2) | toString }}
{{- if regexMatch "[1-9]" $quantity }}
- name: {{ index . 0 }}
  valueFrom:
    resourceFieldRef:
      resource: {{ index . 1 }}.{{ index . 2 }}
      divisor: {{ index . 3 }}
{{- end }}
{{- end }}
- name: CONTAINER_NAME
  value: {{ .container | quote }}
- name: WORKLOAD_KIND
  value: {{ .kind | quote }}
- name: WORKLOAD_NAME
  value: {{ .name | quote }}
{{- if .otel }}
- name: OTEL_SERVICE_NAME
  value: {{ .name | quote }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ list
      (print "k8s.container.name=" .container)
      (print "k8s." (lower .kind) ".name=" .name)
      "k8s.namespace.name=$(POD_NAMESPACE)"
      "k8s.node.name=$(NODE_NAME)"
      "k8s.pod.name=$(POD_NAME)"
      "k8s.pod.uid=$(POD_UID)"
      (print "service.instance.id=$(POD_NAMESPACE).$(POD_NAME)." .container)
      (print "service.name=" .name)
      "service.namespace=$(POD_NAMESPACE)"
      (print "service.version=" (.root.Chart.AppVersion | urlquery | replace "+" "%20")) | join "," }}
{{- end }}
{{- end }}

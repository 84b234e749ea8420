//go:build tools

// Package controlplane pins the programs that the end-to-end tests run
// against: a real etcd, kube-apiserver and kube-controller-manager, built
// from Go modules because no prebuilt binary is needed that way.
package controlplane

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)

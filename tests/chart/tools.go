//go:build tools

// Package chart pins the Helm that the chart's tests run, built from Go
// modules because no prebuilt binary is needed that way.
package chart

import (
	_ "helm.sh/helm/v4/cmd/helm"
)

package main

import (
	"regexp"
	"strings"
)

// further says how to look at the parts from another terminal.
func (d *demo) further() []string {
	s := d.stack
	page := d.page
	if page == "" {
		page = "not built: run make web, which needs npm, and start the demo again"
	}
	if account := technician(); d.opts.SignIn && d.page != "" {
		page += ", as " + account.Email + " with the password " + account.Password
	}
	return append([]string{"", "Sound Check, where jobs are started and watched: " + page, "", "To look further, in another terminal:"}, align([][]string{
		{"  LatencyJobs", "KUBECONFIG=" + quote(s.Kubeconfig) + " " + quote(s.Kubectl) + " get latencyjobs -o wide"},
		{"  database", "psql " + quote(s.DSN)},
		{"  REST API", "curl -H 'apikey: " + s.Gateway.SecretKey() + "' " + quote(s.Gateway.URL()+"/rest/v1/samples?order=recorded_at.desc&limit=3")},
		{"  metrics", "curl " + d.metrics},
		{"  operator's log", "tail -f " + quote(d.log.Name())},
	})...)
}

var plain = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// quote makes one word of s for a shell.
func quote(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

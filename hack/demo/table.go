package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kubectlTable lays out a Table as `kubectl get` does, with a column before it that names the jobs. Where that is wider than
// width, the column NAME, which holds ids, is left out. Width 0 is without a limit.
func kubectlTable(table *metav1.Table, names map[string]string, width int) []string {
	if len(table.Rows) == 0 {
		return []string{"No resources found"} // as kubectl says
	}
	lines := align(cells(table, names, true))
	if width > 0 && longest(lines) > width {
		lines = align(cells(table, names, false))
	}
	return lines
}

func cells(table *metav1.Table, names map[string]string, withName bool) [][]string {
	id := 0
	header := []string{"JOB"}
	for i, column := range table.ColumnDefinitions {
		if column.Format == "name" {
			id = i
		}
		if shown(column, withName) {
			header = append(header, strings.ToUpper(column.Name))
		}
	}
	rows := [][]string{header}
	for _, row := range table.Rows {
		cut := []string{names[fmt.Sprint(row.Cells[id])]}
		for i, column := range table.ColumnDefinitions {
			if shown(column, withName) {
				cut = append(cut, cell(row.Cells[i]))
			}
		}
		rows = append(rows, cut)
	}
	return rows
}

// shown leaves out what only `kubectl get -o wide` shows.
func shown(column metav1.TableColumnDefinition, withName bool) bool {
	return column.Priority == 0 && (withName || column.Format != "name")
}

func cell(value any) string {
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

// align lays out rows in columns, three spaces apart like kubectl's.
func align(rows [][]string) []string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // a strings.Builder takes everything
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

func longest(lines []string) int {
	n := 0
	for _, line := range lines {
		n = max(n, len([]rune(line)))
	}
	return n
}

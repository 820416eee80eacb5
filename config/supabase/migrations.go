// Package migrations carries the SQL that prepares a Supabase database for the operator, for programs and tests that
// apply it by themselves.
package migrations

import (
	"embed"
	"fmt"
)

//go:embed migrations/*.sql optional/*.sql
var files embed.FS

// Migration is one file. Applying it again changes nothing.
type Migration struct {
	// Name is the file's name; names sort in the order of application.
	Name string
	// SQL holds several statements; they belong in one transaction.
	SQL string
}

// All returns the migrations that the operator needs, in the order in which they have to be applied.
func All() []Migration { return read("migrations") }

// Optional returns those that a project may leave out: a role of the operator's own, rollups, the removal of old samples, and who may do
// what on the page. They come after All, in this order.
func Optional() []Migration { return read("optional") }

func read(folder string) []Migration {
	entries, err := files.ReadDir(folder)
	if err != nil {
		panic(fmt.Errorf("read the embedded migrations: %w", err))
	}
	all := make([]Migration, 0, len(entries))
	for _, entry := range entries {
		sql, err := files.ReadFile(folder + "/" + entry.Name())
		if err != nil {
			panic(fmt.Errorf("read the embedded migrations: %w", err))
		}
		all = append(all, Migration{Name: entry.Name(), SQL: string(sql)})
	}
	return all
}

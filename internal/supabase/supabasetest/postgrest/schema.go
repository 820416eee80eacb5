package postgrest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5"
)

// schema is what is known about the database until the next reload.
type schema struct {
	tables map[string]*table
	// settings of the roles, which a request takes over together with the role.
	settings map[string][]setting
}

type table struct {
	name    string
	columns []column
	// key are the columns of the primary key.
	key []string
}

type column struct {
	name, sqlType string
	// value is the SQL of the default, empty without one.
	value string
}

type setting struct{ name, value string }

func (t *table) column(name string) *column {
	for i := range t.columns {
		if t.columns[i].name == name {
			return &t.columns[i]
		}
	}
	return nil
}

func (s *schema) table(name string) (*table, *apiError) {
	if t := s.tables[name]; t != nil {
		return t, nil
	}
	err := refuse(http.StatusNotFound, "PGRST205", fmt.Sprintf("Could not find the table '%s.%s' in the schema cache", schemaName, name))
	for _, other := range slices.Sorted(maps.Keys(s.tables)) {
		if similar(name, other) {
			return nil, err.withHint(fmt.Sprintf("Perhaps you meant the table '%s.%s'", schemaName, other))
		}
	}
	return nil, err
}

// similar tells whether at most a quarter of the longer name would have to change.
func similar(a, b string) bool {
	distance := make([]int, len(b)+1)
	for j := range distance {
		distance[j] = j
	}
	for i := range len(a) {
		diagonal := distance[0]
		distance[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = distance[j+1]
			distance[j+1] = min(change, distance[j]+1, diagonal+1)
		}
	}
	return 4*distance[len(b)] <= max(len(a), len(b))
}

const (
	columnsQuery = `
		select c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
			case
				when a.attidentity <> '' then format('nextval(%L)', pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname))
				when a.attgenerated = '' then coalesce(pg_get_expr(d.adbin, d.adrelid), '')
				else ''
			end,
			coalesce(a.attnum = any (k.conkey), false)
		from pg_class c
		join pg_namespace n on n.oid = c.relnamespace
		join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
		left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
		left join pg_constraint k on k.conrelid = c.oid and k.contype = 'p'
		where n.nspname = $1 and c.relkind in ('r', 'v', 'm', 'f', 'p')
		order by c.relname, a.attnum`

	// A role's settings, without those that only a superuser may change.
	settingsQuery = `
		select r.rolname, split_part(s.setting, '=', 1), substr(s.setting, strpos(s.setting, '=') + 1)
		from pg_roles r
		cross join unnest(r.rolconfig) s (setting)
		join pg_settings p on lower(p.name) = lower(split_part(s.setting, '=', 1)) and p.context = 'user'`
)

func loadSchema(ctx context.Context, db *pgx.Conn) (*schema, error) {
	s := &schema{tables: map[string]*table{}}
	rows, err := db.Query(ctx, columnsQuery, pgx.QueryExecModeExec, schemaName)
	if err != nil {
		return nil, fmt.Errorf("read the tables: %w", err)
	}
	var name string
	var c column
	var inKey bool
	_, err = pgx.ForEachRow(rows, []any{&name, &c.name, &c.sqlType, &c.value, &inKey}, func() error {
		t := s.tables[name]
		if t == nil {
			t = &table{name: name}
			s.tables[name] = t
		}
		t.columns = append(t.columns, c)
		if inKey {
			t.key = append(t.key, c.name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the tables: %w", err)
	}
	s.settings, err = loadSettings(ctx, db)
	return s, err
}

func loadSettings(ctx context.Context, db *pgx.Conn) (map[string][]setting, error) {
	rows, err := db.Query(ctx, settingsQuery, pgx.QueryExecModeExec)
	if err != nil {
		return nil, fmt.Errorf("read the settings of roles: %w", err)
	}
	out := map[string][]setting{}
	var role string
	var s setting
	_, err = pgx.ForEachRow(rows, []any{&role, &s.name, &s.value}, func() error {
		out[role] = append(out[role], s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the settings of roles: %w", err)
	}
	return out, nil
}

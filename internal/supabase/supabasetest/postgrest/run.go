package postgrest

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// session is what a transaction takes over from its request.
type session struct {
	identity
	settings []setting
	http     *http.Request
}

// result is what a request found or did.
type result struct {
	// page is the number of rows that were read or written, total of those that could have been; total is -1 if unknown.
	page, total int64
	body        []byte
	// updatedOnly says that an upsert met nothing but rows that were there before.
	updatedOnly bool
}

// run executes a request in a transaction of its own.
func (h *Handler) run(ctx context.Context, r *request, s session) (result, *apiError) {
	conn, err := h.acquire(ctx)
	if err != nil {
		return result{}, err
	}
	defer h.pool.release(conn)
	db := conn.PgConn()
	res, failure := h.transaction(ctx, db, r, s)
	if failure != nil {
		if !db.IsClosed() {
			_ = exec(ctx, db, "rollback") // a connection that cannot even do that is not used again
		}
		return result{}, fromDatabase(failure, s.anonymous())
	}
	return res, nil
}

func (h *Handler) acquire(ctx context.Context) (*lease, *apiError) {
	patient, cancel := context.WithTimeout(ctx, h.opts.PoolTimeout)
	defer cancel()
	if h.pool.wait(patient) != nil {
		return nil, refuse(http.StatusGatewayTimeout, "PGRST003", "Timed out acquiring connection from connection pool.")
	}
	conn, err := h.pool.take(ctx)
	if err != nil {
		return nil, fromDatabase(err, false)
	}
	return conn, nil
}

func (h *Handler) transaction(ctx context.Context, db *pgconn.PgConn, r *request, s session) (result, error) {
	begin := "begin"
	if r.reads() {
		begin = "begin read only"
	}
	if err := exec(ctx, db, begin); err != nil {
		return result{}, err
	}
	if _, err := query(ctx, db, s.settle()); err != nil {
		return result{}, err
	}
	if err := r.safe(); err != nil && !h.opts.AllowUnfiltered {
		return result{}, err
	}
	statement := r.readSQL
	if !r.reads() {
		statement = r.writeSQL
	}
	row, err := query(ctx, db, statement())
	if err != nil {
		return result{}, err
	}
	res, err := r.result(row)
	if err != nil {
		return result{}, err
	}
	if r.prefer.resolution == "merge-duplicates" && res.page > 0 {
		inserted, err := query(ctx, db, newStatement(insertedQuery))
		if err != nil {
			return result{}, err
		}
		res.updatedOnly = string(inserted[0]) == "0"
	}
	return res, exec(ctx, db, "commit")
}

// settle sets what PostgREST sets: the role, its own settings, and what policies and triggers can read of the request.
func (s session) settle() *statement {
	out := newStatement("select ")
	set := func(name, value string) {
		out.either(len(out.args) == 0, "", ", ")
		out.add("set_config(", out.parameter(name), ", ", out.parameter(value), ", true)")
	}
	set("search_path", schemaName+", extensions")
	set("role", s.role)
	set("request.jwt.claims", s.claims)
	set("request.method", s.http.Method)
	set("request.path", s.http.URL.Path)
	for _, own := range s.settings {
		set(own.name, own.value)
	}
	return out
}

// safe is what the extension safeupdate does, which Supabase loads for PostgREST.
func (r *request) safe() error {
	if len(r.filters) > 0 {
		return nil
	}
	switch {
	case r.method == http.MethodPatch && len(r.payload.columns) > 0:
		return refuse(http.StatusBadRequest, "21000", "UPDATE requires a WHERE clause")
	case r.method == http.MethodDelete:
		return refuse(http.StatusBadRequest, "21000", "DELETE requires a WHERE clause")
	}
	return nil
}

// result reads the one row that a statement gives, and refuses what has to be rolled back.
func (r *request) result(row [][]byte) (result, error) {
	res := result{total: -1, body: row[2]}
	var err error
	if res.page, err = strconv.ParseInt(string(row[1]), 10, 64); err != nil {
		return res, fmt.Errorf("read the number of rows: %w", err)
	}
	if r.prefer.count == "exact" {
		if res.total, err = strconv.ParseInt(string(row[0]), 10, 64); err != nil {
			return res, fmt.Errorf("read the number of all rows: %w", err)
		}
	}
	limit := r.prefer.maxAffected
	switch {
	case r.media.single && res.page != 1:
		return res, refuse(http.StatusNotAcceptable, "PGRST116", "Cannot coerce the result to a single JSON object").
			withDetails(fmt.Sprintf("The result contains %d rows", res.page))
	case limit != nil && (r.method == http.MethodPatch || r.method == http.MethodDelete) && res.page > *limit:
		return res, refuse(http.StatusBadRequest, "PGRST124", "Query result exceeds max-affected preference constraint").
			withDetails(fmt.Sprintf("The query affects %d rows", res.page))
	}
	return res, nil
}

func newStatement(sql string) *statement {
	s := &statement{}
	s.add(sql)
	return s
}

func exec(ctx context.Context, db *pgconn.PgConn, sql string) error {
	_, err := db.Exec(ctx, sql).ReadAll()
	return err
}

// query runs a statement that gives one row of texts.
func query(ctx context.Context, db *pgconn.PgConn, s *statement) ([][]byte, error) {
	read := db.ExecParams(ctx, s.String(), s.args, nil, nil, nil).Read()
	if read.Err != nil {
		return nil, read.Err
	}
	if len(read.Rows) != 1 {
		return nil, fmt.Errorf("%d rows instead of one from %s", len(read.Rows), strings.TrimSpace(s.String()))
	}
	return read.Rows[0], nil
}

package sqlstore_test

import (
	"context"
	"database/sql"
	"log"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
)

// The host uses the connection pool and driver that it already has.
func Example() {
	db, err := sql.Open("pgx", "postgres://app@db.internal/app")
	if err != nil {
		log.Fatal(err)
	}
	if err := sqlstore.Migrate(context.Background(), db, sqlstore.PostgreSQL); err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	if err != nil {
		log.Fatal(err)
	}
	_ = twofa.Config{Store: store /* and the rest */}
}

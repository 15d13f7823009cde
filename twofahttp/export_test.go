package twofahttp

// Route is an entry of the route table.
type Route struct{ Method, Path string }

// Routes lists what the handler answers, for tests that walk all of it.
func Routes() []Route {
	var list []Route
	for _, rt := range routeTable() {
		list = append(list, Route{rt.method, rt.path})
	}
	return list
}

// ParseForm is what reads the body of every POST.
var ParseForm = parseForm

package twofahttp

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// origin is where a request comes from.
type origin struct {
	addr netip.Addr // of the client, for limits and events; invalid if unknown
	// claimed is the last address in X-Forwarded-For if addr is no trusted
	// proxy. A proxy that is not listed sends it, but a client can, too.
	claimed netip.Addr
	hidden  bool // whether addr is a whole proxy, such as a trusted one that does not name its client
}

// originOf returns where a request comes from: what Config.ClientIP says, or else
// the address of the connection. If a trusted proxy connects, it is the last
// address in X-Forwarded-For that is no trusted proxy. Addresses to the left of
// it can be forged by the client. Only a local process can connect to a Unix
// socket, which has no address, so it counts as a trusted proxy.
func (s *Server) originOf(r *http.Request) origin {
	if s.cfg.ClientIP != nil {
		return origin{addr: normal(s.cfg.ClientIP(r))}
	}
	addr, named := parseHop(r.RemoteAddr), false
	for _, text := range slices.Backward(hops(r)) {
		hop := parseHop(text)
		if addr.IsValid() && !s.isTrustedProxy(addr) {
			return origin{addr: addr, claimed: hop}
		}
		if named = hop.IsValid(); !named {
			break
		}
		addr = hop
	}
	return origin{addr: addr, hidden: !named && s.isTrustedProxy(addr)}
}

// hops returns the parts of X-Forwarded-For. It leaves out "unix:", which nginx
// adds if another proxy on its machine connects to its Unix socket.
func hops(r *http.Request) []string {
	all := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	return slices.DeleteFunc(all, func(hop string) bool { return strings.HasPrefix(strings.TrimSpace(hop), "unix:") })
}

func (s *Server) clientIP(r *http.Request) netip.Addr { return s.originOf(r).addr }

func (s *Server) isTrustedProxy(addr netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseHop parses an address as gateways write it: with or without a port,
// brackets, quotes and spaces. A gateway that puts a port after any address
// writes IPv6 with a port and without brackets. If that port has at most four
// digits, it can look like a part of the address, but it does not change the /64.
func parseHop(s string) netip.Addr {
	s = strings.Trim(s, " \t\"")
	if withPort, err := netip.ParseAddrPort(s); err == nil {
		return normal(withPort.Addr())
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err == nil {
		return normal(addr)
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		if withPort, err := netip.ParseAddrPort("[" + s[:i] + "]" + s[i:]); err == nil {
			return normal(withPort.Addr())
		}
	}
	return netip.Addr{}
}

func normal(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// networkOf returns the network that an address is counted as. For IPv6 it is
// the /64, because one customer has at least that many addresses.
func networkOf(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

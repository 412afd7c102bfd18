//! What `deploy/haproxy.cfg` does to requests.

//! A server that forks: nginx as root with workers that are somebody else.

use super::Served;

/// The master has the key by libp11's engine; the workers are forked from it and may open neither store nor socket.
#[test]
fn both_workers_of_nginx_answer() {
    let served = Served::new();
    served
        .tool(
            0,
            "--keypairgen --key-type rsa:2048 --id 71 --label tls --usage-sign --usage-decrypt",
        )
        .ok();
    let out = served.sh(
        r#"
        trap 'kill $(cat nginx.pid) 2>/dev/null || true' EXIT
        folder=$PWD
        port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
        key='pkcs11:token=slot0;id=%71;type=private;pin-value=correct%20horse%200'
        cat >openssl.cnf <<END
openssl_conf = conf
[conf]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
MODULE_PATH = $MODULE
init = 0
[req]
distinguished_name = none
[none]
END
        export OPENSSL_CONF=$folder/openssl.cnf
        openssl req -new -x509 -engine pkcs11 -keyform engine -key "$key" -subj /CN=localhost -out server.pem -days 5
        # Without the right to read, a worker could not even look for the server's socket.
        chmod 700 "$folder"
        user=$([ "$(id -u)" != 0 ] || echo 'user www-data;')
        cat >nginx.conf <<END
$user
daemon on; worker_processes 2; pid $folder/nginx.pid; error_log $folder/nginx.log; ssl_engine pkcs11;
env SLOTFS_STORE; env SLOTFS_PROGRAM; env XDG_STATE_HOME; env XDG_CONFIG_HOME; env HOME; env OPENSSL_CONF;
events {}
http {
    access_log off;
    client_body_temp_path $folder/body; proxy_temp_path $folder/proxy; fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi; scgi_temp_path $folder/scgi;
    server {
        listen 127.0.0.1:$port ssl reuseport;
        ssl_certificate $folder/server.pem;
        ssl_certificate_key "engine:pkcs11:$key";
        return 200 "\$pid\n";
    }
}
END
        PATH=$PATH:/usr/sbin nginx -c "$folder/nginx.conf"
        for n in $(seq 30); do
            curl -sk --retry 20 --retry-connrefused --retry-delay 1 --max-time 20 "https://127.0.0.1:$port/" || cat nginx.log >&2
        done
        "#,
    );
    let out = out.ok();
    let mut workers: Vec<&str> = out
        .stdout
        .lines()
        .filter(|line| line.parse::<u32>().is_ok())
        .collect();
    assert_eq!(workers.len(), 30, "{out:?}");
    workers.sort_unstable();
    workers.dedup();
    assert_eq!(workers.len(), 2, "{out:?}");
}

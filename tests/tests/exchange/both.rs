//! Each test over both transports.

macro_rules! on_both {
    ($($name:ident,)*) => {
        mod io_uring {$(
            #[test]
            fn $name() {
                super::$name("io-uring");
            }
        )*}
        mod epoll {$(
            #[test]
            fn $name() {
                super::$name("epoll");
            }
        )*}
    };
}

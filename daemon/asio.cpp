// The one place where Boost.Asio's and Boost.Beast's non-template code is compiled.
#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
